/* message: the datagrams of dht-rpc: a request and its reply. (spec: swarm, 2.1 to 2.3; npm dht-rpc 6)
 *
 * What was decoded points into the datagram. What follows a message is ignored, as the package does.
 */
#ifndef HF_WIRE_DHT_MESSAGE_H
#define HF_WIRE_DHT_MESSAGE_H

#include "wire/dht/address.h"

#define HF_DHT_ID_BYTES 32u
#define HF_DHT_TOKEN_BYTES 32u
#define HF_DHT_DATAGRAM_BYTES_MAX 2048u /* what the package reads of one */
#define HF_DHT_VALUE_BYTES_MAX 1000u    /* of a value that is stored: with all around it in one packet of any network */
#define HF_DHT_K 20u                    /* nodes of a row, of a list of closer nodes, of a query's result */

/* A node: where it is, and its id. */
struct hf_dht_contact {
	struct hf_address address;
	uint8_t id[HF_DHT_ID_BYTES];
};

/* Commands of dht-rpc itself. */
enum hf_dht_internal_command { HF_DHT_PING, HF_DHT_PING_NAT, HF_DHT_FIND_NODE, HF_DHT_DOWN_HINT, HF_DHT_DELAYED_PING };
/* Commands of HyperDHT. */
enum hf_dht_command {
	HF_DHT_PEER_HANDSHAKE,
	HF_DHT_PEER_HOLEPUNCH,
	HF_DHT_FIND_PEER,
	HF_DHT_LOOKUP,
	HF_DHT_ANNOUNCE,
	HF_DHT_UNANNOUNCE,
	HF_DHT_MUTABLE_PUT,
	HF_DHT_MUTABLE_GET,
	HF_DHT_IMMUTABLE_PUT,
	HF_DHT_IMMUTABLE_GET,
	HF_DHT_PLUGIN,
};
/* All commands in one row, those of dht-rpc first; HF_DHT_COMMAND_COUNT: one that nobody knows. */
#define HF_DHT_INTERNAL_COMMAND_COUNT 5u
#define HF_DHT_COMMAND_COUNT (HF_DHT_INTERNAL_COMMAND_COUNT + 11u)
static inline unsigned hf_dht_command_index(bool is_internal, uint64_t command)
{
	uint64_t index = is_internal ? command : command + HF_DHT_INTERNAL_COMMAND_COUNT;
	return command >= (is_internal ? HF_DHT_INTERNAL_COMMAND_COUNT : HF_DHT_COMMAND_COUNT - HF_DHT_INTERNAL_COMMAND_COUNT)
		? HF_DHT_COMMAND_COUNT : (unsigned)index;
}
HF_API const char *hf_dht_command_name(unsigned index); /* "find_node"; "unknown" past the last */
/* What a reply says in its error field; others may come. */
enum hf_dht_error {
	HF_DHT_OK = 0,
	HF_DHT_UNKNOWN_COMMAND = 1,
	HF_DHT_INVALID_TOKEN = 2,
	HF_DHT_SEQ_REUSED = 16,
	HF_DHT_SEQ_TOO_LOW = 17,
};

struct hf_dht_message {
	bool is_reply;
	uint16_t tid;
	struct hf_address to;   /* whom the sender sends it to, as the sender sees it */
	const uint8_t *id;      /* HF_DHT_ID_BYTES; NULL: none. Not checked yet against where it came from. */
	const uint8_t *token;   /* HF_DHT_TOKEN_BYTES; NULL */
	bool has_value;         /* an empty value is another thing than none */
	struct hf_slice value;
	/* Of a request. */
	bool is_internal;
	uint64_t command;
	const uint8_t *target;  /* HF_DHT_ID_BYTES; NULL */
	/* Of a reply. */
	struct hf_slice closer; /* HF_DHT_ADDRESS_BYTES a node; empty: none */
	uint64_t error;
};

/* HF_EMALFORMED, HF_ETOOBIG (a number above 2^53-1). */
HF_API int hf_dht_message_read(struct hf_slice datagram, struct hf_dht_message *message);
/* Appends. HF_EINVAL (to is not IPv4), HF_ENOMEM. */
HF_API int hf_dht_message_write(const struct hf_dht_message *message, struct hf_buffer *out);

static inline size_t hf_dht_closer_count(struct hf_slice closer) { return closer.length / HF_DHT_ADDRESS_BYTES; }
HF_API struct hf_address hf_dht_closer_at(struct hf_slice closer, size_t at);

/* The id of a node is the hash of where it is: BLAKE2b-256 over its six bytes. */
HF_API void hf_dht_id(uint8_t id[static HF_DHT_ID_BYTES], const struct hf_address *address);
/* Which of two ids is nearer to the target by XOR: < 0, 0 (the same id), > 0. */
HF_API int hf_dht_compare(const uint8_t target[static HF_DHT_ID_BYTES], const uint8_t a[static HF_DHT_ID_BYTES],
	const uint8_t b[static HF_DHT_ID_BYTES]);

#endif
