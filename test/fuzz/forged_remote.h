/* forged_remote: remotes of a fuzzed replicator, and what they say: messages made by the writers' own code with bytes of them changed, or
 * raw ones, all as the input has it. */
#ifndef HF_TEST_FUZZ_FORGED_REMOTE_H
#define HF_TEST_FUZZ_FORGED_REMOTE_H

#include "fuzz.h"

#include "peer/replicator.h"

#define BLOCKS 40
#define HISTORIES 3
#define ASKED_MAX 64

enum { SERVED, READ, CHANNELS };
enum {
	SYNC, DATA, PUSHED, RANGE, REQUEST, WANT, BITFIELD, NO_DATA, CANCEL, EXTENSION, RAW, MESSAGE, CLOSE, REOPEN, TIME, LOCAL, CONGEST, HONEST,
	KINDS
};

/* A remote's end of a stream, and ours. */
struct remote {
	struct hf_protomux *mux, *ours;
	struct hf_replicator_stream *stream;
	struct hf_channel *channels[CHANNELS];
	struct hf_replication_request asked[ASKED_MAX];
	size_t asked_count;
	bool is_congested, has_failed, cannot_send;
	struct hf_buffer to_us, to_them; /* messages with a le32 length in front */
};

/* What they are about: writers of three histories of one core, the core that we read of it, and one that we serve. */
extern struct hf_core *writers[HISTORIES], *served, *reader;
extern struct hf_replicator *replicator;

/* ---- The input ---- */

extern const uint8_t *input, *input_end;
uint8_t byte(void);              /* 0 at its end */
uint64_t number(uint64_t usual); /* mostly small, now and then anything */

/* ---- Remotes ---- */

void connect_remote(struct remote *remote);
void disconnect_remote(struct remote *remote);
void open_channel(struct remote *remote, int which, bool lies);
void carry(struct remote *remote); /* what both have sent so far */
void congest(struct remote *remote);

/* ---- What they say ---- */

void say_data(struct remote *remote, bool is_asked); /* an answer by one of the histories: to what we asked, or to anything */
void say_sync(struct remote *remote, int which);
void say_raw(struct remote *remote, int which, bool is_message);
void say_other(struct remote *remote, int which, unsigned kind);

#endif
