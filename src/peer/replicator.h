/* replicator: exchanges cores with peers over the channels of their connections. (spec: Hypercore, section 5)
 *
 * It joins the cores of one corestore with any number of streams. A core that is JOINED is active: a channel for it is
 * opened on every stream, its length is kept up with, its wanted blocks (hf_core_wait) and downloads are asked of whoever has them,
 * each of one peer at a time. A core that is not joined is served when a peer opens its channel, if it is kept and may_serve allows.
 *
 * No sockets and no clock: bytes come and go through the streams' muxes, time through hf_replicator_tick. What peers brought is staged
 * on the cores; hf_replicator_flush makes one commit of it per core, and is meant to be called at the end of a loop's iteration, when
 * on_pending has said so. It all belongs to the corestore's thread.
 *
 * A peer that breaks the protocol or proves something false is disconnected: its mux fails with a sentence that says why, and the
 * reason is counted. Nothing of what it proved falsely is stored.
 */
#ifndef HF_PEER_REPLICATOR_H
#define HF_PEER_REPLICATOR_H

#include "base/metrics.h"
#include "data/corestore.h"
#include "wire/protomux.h"
#include "wire/replication.h"

#define HF_REPLICATOR_TICK_MS 200
#define HF_REPLICATOR_WINDOW_MIN 16          /* requests in flight to one peer for one core */
#define HF_REPLICATOR_WINDOW_START 64
#define HF_REPLICATOR_WINDOW_MAX 1024
#define HF_REPLICATOR_WINDOW_BYTES_MAX (4u << 20) /* of blocks expected, by their average size so far */
#define HF_REPLICATOR_REQUESTS_MAX 8192      /* of one peer for one core, not answered yet; past it the peer is disconnected */
#define HF_REPLICATOR_WANTS_MAX 512          /* of one peer for one core; past it the peer counts as wanting all */
#define HF_REPLICATOR_REFUSALS_MAX 64        /* invalid requests, or answers that there is nothing, before a peer is given up */
#define HF_REPLICATOR_STREAM_REQUESTS_MAX 65536 /* of one stream, not answered yet */
#define HF_REPLICATOR_UPDATE_SILENCE_MS 5000 /* an update does not wait for a peer that has said nothing of the core for so long */
#define HF_REPLICATOR_UPDATE_MS_MAX 30000    /* nor for any longer than this */
#define HF_REPLICATOR_REMOTE_PAGES_MAX 1024  /* of a peer's bitfield, 4 KiB each */
#define HF_REPLICATOR_STREAM_PAGES_MAX 4096  /* of all bitfields of a stream; each may have one */

struct hf_replicator;
struct hf_replicator_stream;
struct hf_replication;

struct hf_replicator_options {
	size_t size;                /* sizeof this struct */
	struct hf_corestore *cores; /* borrowed */
	struct hf_env *env;         /* random */
	/* Whether a peer may have a core that is kept but not joined; NULL: any. */
	bool (*may_serve)(void *context, const uint8_t discovery_key[static 32]);
	/* hf_replicator_flush has become due. Called once until then. */
	void (*on_pending)(void *context);
	void *context;
};
HF_API int hf_replicator_new(struct hf_replicator **out, const struct hf_replicator_options *options);
HF_API void hf_replicator_free(struct hf_replicator *replicator); /* streams are detached and cores left before */
HF_API void hf_replicator_flush(struct hf_replicator *replicator, uint64_t now_ms); /* monotonic, as in tick */
/* Every HF_REPLICATOR_TICK_MS or so while streams are attached. */
HF_API void hf_replicator_tick(struct hf_replicator *replicator, uint64_t now_ms);

/* ---- Streams ---- */

struct hf_replicator_stream_options {
	struct hf_protomux *mux; /* borrowed until detached */
	bool is_initiator;
	const uint8_t *handshake_hash; /* HF_HANDSHAKE_HASH_BYTES; copied */
};
/* Opens channels for all joined cores and answers the remote's. */
HF_API int hf_replicator_attach(struct hf_replicator *replicator, const struct hf_replicator_stream_options *options,
	struct hf_replicator_stream **out);
/* Before the mux is freed, also when it has failed; not from a callback of the mux or of the replicator. NULL is fine. */
HF_API void hf_replicator_detach(struct hf_replicator_stream *stream);
/* A connection has ended with this before it could be attached: counted as detaching does, when the remote has broken the protocol. */
HF_API void hf_replicator_count_end(struct hf_replicator *replicator, int code);

/* ---- Cores ---- */

/* Joins a core; the same core may be joined several times. Holds a reference on it. */
HF_API int hf_replicator_join(struct hf_replicator *replicator, struct hf_core *core, struct hf_replication **out);
HF_API void hf_replication_leave(struct hf_replication *replication); /* cancels what it waits for, removes its extensions; NULL is fine */
HF_API struct hf_core *hf_replication_core(const struct hf_replication *replication);
HF_API uint32_t hf_replication_peer_count(const struct hf_replication *replication); /* whose channel is open and verified */
/* Calls heard (may be NULL) once all peers that are there now have told their length and what they told has been fetched: the core
 * is then as long as it can be learned to be. Peers that stay silent, and such as tell of ever more, are waited for no longer than the
 * two limits above. HF_ENOMEM. */
HF_API int hf_replication_update(struct hf_replication *replication, void (*heard)(void *context), void *context);

/* Withholds the core from all peers, or gives it again: its channels are closed, and those that peers open are rejected meanwhile. What is
 * waited for goes on waiting. Off at first; holds for the core, whoever joined it, until the last has left. */
HF_API void hf_replication_withhold(struct hf_replication *replication, bool withheld);
/* Whether peers may send blocks that were not asked for. Off at first; holds for the core, whoever joined it, until the last has left. */
HF_API void hf_replication_allow_push(struct hf_replication *replication, bool allowed);
/* Sends a block that is held and committed to all peers that allow it and do not have it. */
HF_API void hf_replication_push(struct hf_replication *replication, uint64_t block);

/* Fetches blocks [from, to) that are not held, as peers have them; to UINT64_MAX: to the end, and goes on as the core grows. Embedded. */
struct hf_download {
	struct hf_download *next, *previous;
	struct hf_replication *replication;
	uint64_t from, to;
	bool is_random;                              /* in any order, rather than from the start on */
	void (*done)(struct hf_download *download);  /* all are held and committed; may free it; never with to UINT64_MAX */
};
HF_API void hf_download_start(struct hf_replication *replication, struct hf_download *download); /* set from, to, is_random, done before */
HF_API void hf_download_cancel(struct hf_download *download); /* not running is fine */

/* Asks peers for what a byte seek needs (hf_core_seek gave HF_EWAIT): done is called when the seek can be made, or fails otherwise. Beyond
 * the core's end it waits for the core to grow. Embedded. */
struct hf_seek_wait {
	struct hf_seek_wait *next, *previous;
	struct hf_replication *replication;
	uint64_t bytes;
	bool is_asked; /* private */
	void (*done)(struct hf_seek_wait *wait);
};
HF_API void hf_seek_wait_start(struct hf_replication *replication, struct hf_seek_wait *wait);
HF_API void hf_seek_wait_cancel(struct hf_seek_wait *wait);

/* Messages of an extension, by name. message is borrowed. Peers that have no such extension drop them. Belongs to the replication that it
 * was added to, and goes with it. Embedded. */
struct hf_extension {
	struct hf_extension *next;
	struct hf_replication *replication; /* set by adding it to one */
	const char *name;                   /* lives as long as the extension */
	void (*message)(struct hf_extension *extension, struct hf_core *core, struct hf_channel *from, struct hf_slice message);
};
/* On every core, also those that are only served; one that is added to a core itself goes before it. Before there are streams. */
HF_API void hf_replicator_add_extension(struct hf_replicator *replicator, struct hf_extension *extension);
HF_API void hf_replication_add_extension(struct hf_replication *replication, struct hf_extension *extension);
HF_API void hf_replication_remove_extension(struct hf_replication *replication, struct hf_extension *extension); /* removed is fine */
/* to: as message was given it, during that call. HF_ECLOSED, HF_ETOOBIG, HF_ENOMEM. */
HF_API int hf_extension_send(struct hf_extension *extension, struct hf_channel *to, struct hf_slice message);
HF_API void hf_extension_broadcast(struct hf_extension *extension, struct hf_replication *replication, struct hf_slice message);

/* ---- What happened ---- */

struct hf_replicator_stats {
	uint64_t blocks_received, bytes_received; /* blocks that were new, and the bytes in them */
	uint64_t blocks_sent, bytes_sent;
	uint64_t requests_sent, requests_received, refused_sent, refused_received;
	uint64_t proofs_false;    /* proofs that did not hold */
	uint64_t peers_failed;    /* disconnected for breaking the protocol, the mux's and the stream's too; counted when they are detached */
	uint64_t streams, channels;
	uint64_t channels_rejected; /* which peers did not open: they have no such core, or do not let us have it */
};
HF_API void hf_replicator_stats(const struct hf_replicator *replicator, struct hf_replicator_stats *stats);
/* Of one core, since it was joined or first served. */
HF_API void hf_replication_stats(const struct hf_replication *replication, struct hf_replicator_stats *stats);

#endif
