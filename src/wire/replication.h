/* replication: the messages of hypercore/alpha, by which peers exchange blocks of a core. (spec: Hypercore, sections 5.1 and 5.2)
 *
 * No state: decoders read the body of a channel's message into a struct whose slices borrow from it, encoders write one with
 * a compact writer, such as the one that hf_channel_begin gives. Nothing is allocated in decoding. Bytes behind a message are
 * ignored, as the package does. Decoders return HF_OK, HF_EMALFORMED, or HF_ETOOBIG where a named limit or 2^53-1 is passed.
 */
#ifndef HF_WIRE_REPLICATION_H
#define HF_WIRE_REPLICATION_H

#include <sys/uio.h>

#include "data/hypercore/proof.h"

#define HF_REPLICATION_PROTOCOL "hypercore/alpha"
#define HF_REPLICATION_ALIAS "hypercore"
#define HF_REPLICATION_BITFIELD_WORDS_MAX 65536u        /* 2^21 blocks: the most that one want asks for */
#define HF_REPLICATION_EXTENSION_NAME_BYTES_MAX 255
#define HF_REPLICATION_CAPABILITY_BYTES 32
#define HF_REPLICATION_HANDSHAKE_BYTES (1 + HF_REPLICATION_CAPABILITY_BYTES)

/* Types of messages on the channel. */
enum hf_replication_type {
	HF_REPLICATION_SYNC,
	HF_REPLICATION_REQUEST,
	HF_REPLICATION_CANCEL,
	HF_REPLICATION_DATA,
	HF_REPLICATION_NO_DATA,
	HF_REPLICATION_WANT,
	HF_REPLICATION_UNWANT,
	HF_REPLICATION_BITFIELD,
	HF_REPLICATION_RANGE,
	HF_REPLICATION_EXTENSION,
	HF_REPLICATION_TYPES,
};

struct hf_replication_handshake {
	bool seeks; /* answers seeks */
	uint8_t capability[HF_REPLICATION_CAPABILITY_BYTES];
};
struct hf_replication_sync {
	uint64_t fork, length, remote_length;
	bool can_upgrade, is_uploading, is_downloading, has_manifest, allows_push;
};
struct hf_replication_request {
	uint64_t id, fork, priority;
	struct hf_proof_request proof;
};
struct hf_replication_cancel {
	uint64_t request;
};
/* proof.manifest is all that follows its beginning: it has no length of its own. */
struct hf_replication_data {
	uint64_t request;
	struct hf_proof proof;
};
enum hf_replication_reason { HF_REPLICATION_NO_REASON = 0, HF_REPLICATION_NOT_AVAILABLE = 1, HF_REPLICATION_INVALID_REQUEST = 2 };
struct hf_replication_no_data {
	uint64_t request;
	uint64_t reason; /* enum hf_replication_reason, or one not known yet */
};
struct hf_replication_want { /* and unwant */
	uint64_t start, length;
	bool any;
};
struct hf_replication_bitfield {
	uint64_t start;        /* block of the first bit; a multiple of 32 */
	struct hf_slice words; /* 32-bit little-endian words, unaligned; bit i is bit i & 31 of word i >> 5 */
};
struct hf_replication_range {
	bool drop;
	uint64_t start, length;
};
struct hf_replication_extension {
	struct hf_slice name; /* empty: as in the extension message before, in that direction */
	struct hf_slice message;
};

HF_API int hf_replication_read_handshake(struct hf_slice body, struct hf_replication_handshake *out);
HF_API int hf_replication_read_sync(struct hf_slice body, struct hf_replication_sync *out);
HF_API int hf_replication_read_request(struct hf_slice body, struct hf_replication_request *out);
HF_API int hf_replication_read_cancel(struct hf_slice body, struct hf_replication_cancel *out);
HF_API int hf_replication_read_data(struct hf_slice body, struct hf_replication_data *out);
HF_API int hf_replication_read_no_data(struct hf_slice body, struct hf_replication_no_data *out);
HF_API int hf_replication_read_want(struct hf_slice body, struct hf_replication_want *out);
HF_API int hf_replication_read_bitfield(struct hf_slice body, struct hf_replication_bitfield *out);
HF_API int hf_replication_read_range(struct hf_slice body, struct hf_replication_range *out);
HF_API int hf_replication_read_extension(struct hf_slice body, struct hf_replication_extension *out);

HF_API void hf_replication_write_handshake(struct hf_compact_writer *out, const struct hf_replication_handshake *in);
HF_API void hf_replication_write_sync(struct hf_compact_writer *out, const struct hf_replication_sync *in);
HF_API void hf_replication_write_request(struct hf_compact_writer *out, const struct hf_replication_request *in);
HF_API void hf_replication_write_cancel(struct hf_compact_writer *out, const struct hf_replication_cancel *in);
HF_API void hf_replication_write_data(struct hf_compact_writer *out, const struct hf_replication_data *in);
HF_API void hf_replication_write_no_data(struct hf_compact_writer *out, const struct hf_replication_no_data *in);
HF_API void hf_replication_write_want(struct hf_compact_writer *out, const struct hf_replication_want *in);
HF_API void hf_replication_write_bitfield(struct hf_compact_writer *out, const struct hf_replication_bitfield *in);
HF_API void hf_replication_write_range(struct hf_compact_writer *out, const struct hf_replication_range *in);
HF_API void hf_replication_write_extension(struct hf_compact_writer *out, const struct hf_replication_extension *in);

/* A data message for hf_channel_send without a copy of the block: what stands before and behind it is appended to *scratch, and
 * parts are set to head, block and tail. They are good until scratch changes. Returns the number of parts (1 without a block, else
 * 3), or HF_ENOMEM or HF_EINVAL. */
#define HF_REPLICATION_DATA_PARTS 3
HF_API int hf_replication_data_parts(const struct hf_replication_data *in, struct hf_buffer *scratch,
	struct iovec parts[static HF_REPLICATION_DATA_PARTS]);

#endif
