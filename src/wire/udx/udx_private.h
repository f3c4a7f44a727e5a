/* udx_private: what the parts of a UDX session share. Not for other folders.
 *
 *   udx.c       the session: which stream a datagram is for, whose turn it is to send, events that wait
 *   stream.c    the life of a stream
 *   write.c     what is written, until it is acknowledged
 *   receive.c   packets that come: order, window, acknowledgements of ours
 *   flight.c    packets that were sent: the ring by sequence number, the lists by time
 *   ack.c       acknowledgements that come: what was delivered, and what must be lost
 *   timeouts.c  the timers: retransmission, tail loss probe, reordering, zero window, keep-alive
 *   send.c      what a stream sends when it is its turn
 *   batch.c     the packets that are given out together
 *   bbr.c       how much may be in flight, and how fast
 *   mtu.c       how large packets may be
 *   parting.c   what is still said for streams that are gone
 *   relay.c     streams that are spliced
 *
 * A packet that was sent is in one of three states: in flight (list `flight`, by the time it was sent last), lost (list `lost`,
 * to be sent again) or delivered ahead of order (in no list). Its bytes stay in the write queue until all before it are acknowledged.
 */
#ifndef HF_WIRE_UDX_UDX_PRIVATE_H
#define HF_WIRE_UDX_UDX_PRIVATE_H

#include <assert.h>
#include <stdlib.h>

#include "base/list.h"
#include "base/timers.h"
#include "base/u64_map.h"
#include "wire/udx/bbr.h"
#include "wire/udx/packet.h"
#include "wire/udx/udx.h"

#define HF_UDX_IP4_BYTES 28u /* IP and UDP headers */
#define HF_UDX_IP6_BYTES 48u
#define HF_UDX_PACKET_BYTES_BASE 1200u
#define HF_UDX_PIECE_COUNT_MAX 16u /* of writes in one packet */
#define HF_UDX_COPY_BYTES_MAX 256u /* a shorter piece is copied */
#define HF_UDX_FLIGHT_COUNT_MAX 32768u
#define HF_UDX_INITIAL_WINDOW_BYTES 4194304u /* of a remote that has said nothing yet */
#define HF_UDX_NEVER UINT64_MAX

/* ---- What was written ---- */

struct hf_udx_write {
	struct hf_udx_write *next;
	const uint8_t *data;
	size_t length;
	size_t released; /* acknowledged bytes at the beginning */
	size_t room;     /* of a chunk of copies: how long it may become; 0: the bytes are the owner's */
	void *owner;
	void (*release)(void *owner);
	uint8_t chunk[];
};
struct hf_udx_write_queue {
	struct hf_udx_write *first, *last;
	struct hf_udx_write *unsent; /* where the next packet begins */
	size_t unsent_offset;
	size_t pending_bytes, unsent_bytes;
};

/* ---- What was sent ---- */

enum hf_udx_sent_state { HF_UDX_IN_FLIGHT, HF_UDX_LOST, HF_UDX_DELIVERED };

struct hf_udx_sent {
	struct hf_udx_write *write;
	uint32_t offset;
	uint16_t length;
	uint8_t type;
	uint8_t state;
	uint32_t newer, older; /* sequence numbers of the neighbours in its list */
	uint64_t sent_us;
	struct hf_udx_rate_stamp stamp;
	uint8_t transmissions, timeouts;
	uint8_t padding; /* of an MTU probe on its first way */
	bool is_probe;
};
/* Sequence numbers; first is the oldest. */
struct hf_udx_sent_list {
	uint32_t first, last, count;
};

/* ---- What came early ---- */

struct hf_udx_kept {
	uint16_t length;
	uint8_t type;
	uint8_t data[];
};

/* ---- Small ones ---- */

struct hf_udx_queued_message {
	struct hf_udx_queued_message *next;
	size_t length;
	uint8_t data[];
};
/* Where packets before `until` are sent again. */
struct hf_udx_old_path {
	struct hf_udx_old_path *next;
	struct hf_udx_path path;
	uint32_t remote_id, until;
};
/* What is left of a stream that is gone. */
struct hf_udx_parting {
	struct hf_udx_parting *next, *previous; /* by age */
	struct hf_udx_parting *next_queued;
	struct hf_udx_path path;
	struct hf_udx_header header;
	uint32_t local_id;
	bool is_queued, is_in_map;
	uint64_t until_us;
};

struct hf_udx_mtu {
	uint16_t packet_bytes;  /* found */
	uint16_t probe_bytes;   /* looked for */
	uint8_t failures;
	bool is_searching : 1, is_probing : 1, is_held : 1; /* held: until a change of remote is done */
};

struct hf_udx_rtt {
	uint32_t smoothed_us, variation_us, timeout_us;
	struct hf_udx_min minimum_us; /* over 300 s */
};

/* RFC 8985. */
struct hf_udx_rack {
	uint64_t sent_us; /* when the newest delivered packet was sent */
	uint32_t rtt_us, next_seq;
	uint32_t delivered_seq; /* behind the highest delivered */
	bool has_reordered;
};

enum hf_udx_phase { HF_UDX_OPEN, HF_UDX_RECOVERY, HF_UDX_LOSS };

enum hf_udx_deadline {
	HF_UDX_RTO,
	HF_UDX_TLP,
	HF_UDX_REORDER,
	HF_UDX_PACING,
	HF_UDX_ZERO_WINDOW,
	HF_UDX_KEEP_ALIVE,
	HF_UDX_DEADLINE_COUNT
};

/* Blocks that were looked at last. */
#define HF_UDX_SEEN_BLOCK_COUNT 4

struct hf_udx_stream {
	struct hf_udx *udx;
	const struct hf_udx_events *events;
	void *context;
	uint32_t id, remote_id;
	struct hf_udx_path path;
	struct hf_udx_old_path *old_paths; /* oldest first */
	struct hf_udx_stream *next, *previous;             /* in ready or parked */
	struct hf_udx_stream *told_next, *told_previous;   /* in tells */
	struct hf_udx_stream *all_next, *all_previous;     /* of the session */
	struct hf_timer timer;
	uint64_t deadlines[HF_UDX_DEADLINE_COUNT];

	/* State */
	uint16_t calls; /* of events under way */
	int16_t close_code;
	bool is_connected : 1, is_closed : 1, is_freed : 1, is_paused : 1;
	bool is_ready : 1, is_parked : 1, is_told : 1;
	bool tells_closed : 1, tells_drained : 1, tells_changed : 1;
	bool is_ending : 1, end_is_sent : 1, end_is_acked : 1;            /* ours */
	bool remote_end_is_known : 1, remote_has_ended : 1;               /* theirs: has ended: it was consumed */
	bool owes_ack : 1, owes_heartbeat : 1, owes_probe : 1 /* TLP */;
	bool is_above_low : 1;
	bool tlp_is_allowed : 1; /* until one is sent, and after a sample of the delay */
	bool window_was_low : 1; /* ours, as advertised last: below half */

	/* Receiving. [taken_seq, ack) waits to be handed over; kept packets beyond ack came early. */
	uint32_t ack, taken_seq, remote_end_seq;
	uint32_t kept_end;   /* behind the highest kept packet */
	uint32_t next_block; /* where the next list of blocks begins, when the last one was too long */
	uint32_t kept_count, early_count;
	uint32_t kept_bytes; /* payload */
	uint32_t kept_capacity; /* slots; a power of two */
	struct hf_udx_kept **kept;

	/* Sending */
	struct hf_udx_write_queue writes;
	struct hf_udx_sent *sent;
	uint32_t sent_capacity; /* a power of two */
	uint32_t una, next_seq;
	uint32_t delivered_early_count;
	struct hf_udx_sent_list flight, lost;
	struct hf_udx_block seen_blocks[HF_UDX_SEEN_BLOCK_COUNT];
	uint32_t remote_window, window_seq, window_ack; /* and what said so */
	uint32_t high_seq; /* recovery ends when this is acknowledged */
	enum hf_udx_phase phase;
	struct hf_udx_rtt rtt;
	struct hf_udx_rack rack;
	struct hf_udx_bbr bbr;
	struct hf_udx_mtu mtu;
	double tokens_bytes; /* of pacing */
	uint64_t tokens_us;
	struct hf_udx_queued_message *messages, **messages_last;
	uint32_t message_count;
	uint32_t keep_alive_ms;

	struct hf_udx_stream *relay;              /* to where packets go on */
	struct hf_udx_stream *relayed;            /* those that relay to this one */
	struct hf_udx_stream *relayed_next, *relayed_previous;
	uint64_t relayed_bytes, relay_tokens_us;
	double relay_tokens_bytes;
	uint32_t relay_bytes_per_s; /* 0: no bound */

	uint64_t sent_bytes, received_bytes, sent_packets, received_packets;
	uint32_t retransmitted_packets, timeouts;
};

struct hf_udx_stream_list {
	struct hf_udx_stream *first, *last;
};

#define HF_UDX_IOVEC_COUNT 768u
#define HF_UDX_SACK_SCRATCH_COUNT 8u
#define HF_UDX_BLOCKED_COUNT_MAX 64u

/* A packet of the batch that is being built. */
enum hf_udx_built_kind { HF_UDX_BUILT_DATA, HF_UDX_BUILT_ACK, HF_UDX_BUILT_HEARTBEAT, HF_UDX_BUILT_OTHER };
struct hf_udx_built {
	struct hf_udx_stream *stream; /* NULL for what is not a stream's */
	uint32_t seq;
	enum hf_udx_built_kind kind;
};

struct hf_udx_relayed_packet;

struct hf_udx {
	struct hf_udx_options options;
	struct hf_u64_map streams; /* by local id: pointers to streams and, with bit 0 set, partings */
	struct hf_timers timers;
	struct hf_udx_stream *all;
	struct hf_udx_stream_list ready, parked;
	struct hf_udx_stream *tells;
	uint32_t stream_count;
	uint64_t kept_bytes; /* of all streams */
	void *blocked[HF_UDX_BLOCKED_COUNT_MAX];
	uint32_t blocked_count;
	uint32_t kept_slots_max;
	uint64_t now_us; /* of the call under way */
	bool is_busy; /* a call of the pump is under way: nobody needs to be woken */
	struct hf_udx_parting *partings, *partings_last; /* oldest last */
	struct hf_udx_parting *queued_first, **queued_last;
	uint32_t parting_count;
	struct hf_udx_relayed_packet *relayed_first, **relayed_last, *relayed_done;
	size_t relayed_bytes;
	void *spare_rings; /* of the smallest size */
	uint32_t spare_ring_count;
	struct hf_udx_kept *spare_kept;
	uint32_t spare_kept_count;
	struct hf_udx_write *spare_writes;
	uint32_t spare_write_count;
	struct hf_udx_queued_message *sent_messages; /* of the last batch */
	struct hf_udx_counters counters;

	/* The batch */
	struct hf_udx_packet *packets;
	size_t packet_count, packet_count_max, iovec_count, sack_count;
	struct hf_udx_built built[HF_UDX_SEND_COUNT_MAX];
	struct iovec iovecs[HF_UDX_IOVEC_COUNT];
	uint8_t headers[HF_UDX_SEND_COUNT_MAX][HF_UDX_HEADER_BYTES];
	uint8_t sacks[HF_UDX_SACK_SCRATCH_COUNT][HF_UDX_BLOCK_COUNT_MAX * HF_UDX_BLOCK_BYTES];
};

#define HF_UDX_PARTING_BIT UINT64_C(1)
static inline bool hf_udx_is_parting(uint64_t place) { return place & HF_UDX_PARTING_BIT; }
static inline struct hf_udx_parting *hf_udx_to_parting(uint64_t place)
{
	return (struct hf_udx_parting *)(uintptr_t)(place & ~HF_UDX_PARTING_BIT);
}
static inline bool hf_udx_is_live(const struct hf_udx_stream *s) { return !s->is_closed && !s->is_freed; }

/* ---- udx.c ---- */
void hf_udx_make_ready(struct hf_udx_stream *stream); /* it has something to send */
void hf_udx_make_told(struct hf_udx_stream *stream);  /* it has an event to tell */
void hf_udx_unlink(struct hf_udx_stream *stream);     /* out of ready, parked and tells */
void hf_udx_unlink_ready(struct hf_udx_stream *stream);
void hf_udx_wake(struct hf_udx *udx);
bool hf_udx_is_blocked(const struct hf_udx *udx, const void *socket);

/* ---- stream.c ---- */
void hf_udx_stream_enter(struct hf_udx_stream *stream);
bool hf_udx_stream_leave(struct hf_udx_stream *stream); /* whether it is still live */
void hf_udx_stream_close(struct hf_udx_stream *stream, int code); /* no more packets; `closed` will be told */
void hf_udx_stream_finish(struct hf_udx_stream *stream);          /* closes it when both sides have ended and nothing is owed */
void hf_udx_stream_tell(struct hf_udx_stream *stream);
void hf_udx_stream_forget_socket(struct hf_udx_stream *stream, const void *socket);

/* ---- write.c ---- */
/* The next up to `length` bytes in at most HF_UDX_PIECE_COUNT_MAX pieces: how many bytes; they count as sent. */
size_t hf_udx_writes_take(struct hf_udx_write_queue *writes, size_t length, struct hf_udx_write **first, uint32_t *offset);
size_t hf_udx_writes_pieces(struct hf_udx_write *first, uint32_t offset, size_t length, struct iovec *pieces);
void hf_udx_writes_release(struct hf_udx *udx, struct hf_udx_write_queue *writes, size_t length); /* from the beginning */
void hf_udx_writes_free(struct hf_udx *udx, struct hf_udx_write_queue *writes);

/* ---- receive.c ---- */
void hf_udx_stream_recv(struct hf_udx_stream *stream, const struct hf_udx_path *from, uint8_t *data, size_t length,
	const struct hf_udx_header *header);
void hf_udx_stream_hand_over(struct hf_udx_stream *stream); /* what waits; events */
uint32_t hf_udx_stream_window(const struct hf_udx_stream *stream);
size_t hf_udx_stream_blocks(struct hf_udx_stream *stream, uint8_t *out); /* how many */
void hf_udx_stream_free_kept(struct hf_udx_stream *stream);

/* ---- flight.c ---- */
static inline struct hf_udx_sent *hf_udx_sent_at(const struct hf_udx_stream *s, uint32_t seq)
{
	return &s->sent[seq & (s->sent_capacity - 1)];
}
struct hf_udx_sent *hf_udx_sent_new(struct hf_udx_stream *stream); /* that of next_seq, which is counted on; NULL: out of memory */
void hf_udx_sent_add(struct hf_udx_stream *stream, struct hf_udx_sent_list *list, uint32_t seq);
void hf_udx_sent_add_first(struct hf_udx_stream *stream, struct hf_udx_sent_list *list, uint32_t seq);
void hf_udx_sent_remove(struct hf_udx_stream *stream, struct hf_udx_sent_list *list, uint32_t seq);
void hf_udx_sent_lose(struct hf_udx_stream *stream, uint32_t seq, bool is_urgent); /* from flight to lost; urgent: its beginning */
void hf_udx_flight_free(struct hf_udx_stream *stream);
void hf_udx_flight_rest(struct hf_udx_stream *stream); /* when the stream is idle: gives the ring back */

/* ---- ack.c ---- */
void hf_udx_stream_acked(struct hf_udx_stream *stream, const struct hf_udx_header *header, struct hf_slice datagram);
void hf_udx_find_lost(struct hf_udx_stream *stream); /* RACK */
void hf_udx_rtt_sample(struct hf_udx_rtt *rtt, uint64_t now_us, uint64_t sample_us);
uint32_t hf_udx_reordering_window(const struct hf_udx_stream *stream);

/* ---- timeouts.c ---- */
void hf_udx_timer_fire(struct hf_timer *timer);
void hf_udx_timer_update(struct hf_udx_stream *stream); /* after a change of deadlines */
void hf_udx_arm_retransmission(struct hf_udx_stream *stream); /* from now, when something was acknowledged; and the probe */
void hf_udx_arm_probe(struct hf_udx_stream *stream);          /* of the tail, after new data */
static inline void hf_udx_deadline_set(struct hf_udx_stream *s, enum hf_udx_deadline which, uint64_t at_us)
{
	s->deadlines[which] = at_us;
}

/* ---- send.c ---- */
/* Adds to the batch. False: there is no more for now; true: the batch has no room for the rest. */
bool hf_udx_stream_send(struct hf_udx_stream *stream);
size_t hf_udx_capacity(const struct hf_udx_path *path, unsigned packet_bytes);

/* ---- batch.c ---- */
bool hf_udx_batch_has_room(const struct hf_udx *udx, const void *socket);
/* header NULL: it is part of the pieces, which are added with hf_udx_batch_piece. */
void hf_udx_batch_begin(struct hf_udx *udx, const struct hf_udx_path *path, const struct hf_udx_header *header,
	struct hf_udx_built built);
void hf_udx_batch_piece(struct hf_udx *udx, const void *data, size_t length);
struct iovec *hf_udx_batch_pieces(struct hf_udx *udx); /* room for HF_UDX_PIECE_COUNT_MAX; then: */
void hf_udx_batch_end(struct hf_udx *udx, size_t more_piece_count);

/* ---- mtu.c ---- */
void hf_udx_mtu_init(struct hf_udx_stream *stream);
void hf_udx_mtu_start(struct hf_udx_stream *stream); /* something was acknowledged */
/* Whether a packet with so much payload is to be the next probe, and with how much padding. */
bool hf_udx_mtu_probe(struct hf_udx_stream *stream, size_t payload_length, uint8_t *padding);
void hf_udx_mtu_delivered(struct hf_udx_stream *stream);
void hf_udx_mtu_lost(struct hf_udx_stream *stream);

/* ---- parting.c ---- */
void hf_udx_part(struct hf_udx_stream *stream, uint8_t type); /* DESTROY, or 0: to acknowledge again what comes late */
void hf_udx_parting_recv(struct hf_udx *udx, struct hf_udx_parting *parting, const struct hf_udx_header *header);
void hf_udx_partings_send(struct hf_udx *udx);
void hf_udx_partings_expire(struct hf_udx *udx);
void hf_udx_partings_forget_socket(struct hf_udx *udx, const void *socket);
void hf_udx_parting_free(struct hf_udx *udx, struct hf_udx_parting *parting);

/* ---- relay.c ---- */
void hf_udx_relay_packet(struct hf_udx_stream *stream, uint8_t *data, size_t length, const struct hf_udx_header *header);
void hf_udx_relays_send(struct hf_udx *udx);
void hf_udx_relays_close(struct hf_udx_stream *stream);
void hf_udx_relays_free(struct hf_udx *udx, bool all); /* what was sent in the last batch, or all */
void hf_udx_relays_forget_socket(struct hf_udx *udx, const void *socket);

#endif
