/* A persistent node, and what strangers send it: requests made of the input, some with a token that is good and a signature that is, and
 * datagrams that are the input itself. It keeps within its limits, answers none with more than fits, and still answers a ping in the end.
 *
 * Covers: src/peer/dht_node_serve.c src/peer/dht_node_relay.c src/wire/dht/record_store.c src/wire/dht/cache.c src/wire/dht/topics.c
 */
#include "fuzz.h"

#include "crypto/hash.h"
#include "peer/dht_node_lookup.h"
#include "sim_net.h"

#define RECORDS_MAX 16
#define STRANGERS 3
#define TOPICS 4

struct input {
	const uint8_t *at, *end;
};
struct stranger {
	struct hf_udp *udp;
	uint8_t token[HF_DHT_TOKEN_BYTES], public_key[32], secret_key[64], hash[32];
	unsigned pongs;
};

static uint8_t node_id[HF_DHT_ID_BYTES];
static struct hf_address node_address;

static uint8_t take(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static struct hf_slice take_bytes(struct input *in, size_t length)
{
	size_t left = (size_t)(in->end - in->at);
	struct hf_slice bytes = hf_slice(in->at, length < left ? length : left);

	in->at += bytes.length;
	return bytes;
}

static void received(void *context, struct hf_udp *udp, const struct hf_udp_datagram *datagrams, size_t count)
{
	struct stranger *s = context;
	struct hf_dht_message m;

	(void)udp;
	(void)count;
	FUZZ_CHECK(datagrams->length <= HF_DHT_DATAGRAM_BYTES_MAX);
	FUZZ_CHECK(hf_dht_message_read(hf_slice(datagrams->data, datagrams->length), &m) == HF_OK);
	if (m.is_reply && m.token)
		memcpy(s->token, m.token, sizeof s->token);
	s->pongs += m.is_reply && m.tid == 0xffff;
}

static void send_bytes(struct stranger *s, struct hf_slice bytes)
{
	struct iovec piece = {(void *)(uintptr_t)bytes.data, bytes.length};

	hf_udp_send(s->udp, &(struct hf_udp_packet){.address = node_address, .pieces = &piece, .piece_count = 1}, 1);
}

static void send_message(struct stranger *s, const struct hf_dht_message *m)
{
	struct hf_buffer out = {0};

	FUZZ_CHECK(hf_dht_message_write(m, &out) == HF_OK);
	send_bytes(s, hf_buffer_slice(&out));
	hf_buffer_free(&out);
}

/* A value as the command wants it, signed for the node and the token. */
static void make_value(struct input *in, struct stranger *s, struct hf_dht_message *m, uint8_t *target, struct hf_buffer *value)
{
	uint8_t signable[HF_DHT_SIGNABLE_BYTES], signature[64], what = take(in), refresh[32] = {what & 3};
	struct hf_dht_announce announce = {.has_peer = true, .signature = signature, .bump = what & 16 ? what : 0};
	struct hf_dht_mutable put = {.public_key = s->public_key, .seq = what & 7, .signature = signature};
	struct hf_address relays[5];
	struct hf_buffer peer = {0};

	for (unsigned i = 0; i < 5; i++)
		relays[i] = node_address;
	if (m->command == HF_DHT_ANNOUNCE || m->command == HF_DHT_UNANNOUNCE) {
		FUZZ_CHECK(hf_dht_peer_write(s->public_key, relays, what % 6, &peer) == HF_OK);
		announce.refresh = what & 8 ? refresh : NULL;
		announce.peer.bytes = hf_buffer_slice(&peer);
		hf_dht_announce_signable(signable, (enum hf_dht_command)m->command, target, node_id, s->token, announce.peer.bytes,
			announce.refresh);
		hf_sign(signature, hf_slice(signable, sizeof signable), s->secret_key);
		announce.has_peer = !(what & 32);
		FUZZ_CHECK(hf_dht_announce_write(&announce, value) == HF_OK);
	} else if (m->command == HF_DHT_MUTABLE_PUT) {
		put.value = take_bytes(in, what >> 5);
		hf_dht_mutable_signable(signable, put.seq, put.value);
		hf_sign(signature, hf_slice(signable, sizeof signable), s->secret_key);
		memcpy(target, s->hash, HF_DHT_ID_BYTES);
		FUZZ_CHECK(hf_dht_mutable_put_write(&put, value) == HF_OK);
	} else if (m->command == HF_DHT_IMMUTABLE_PUT) {
		struct hf_slice bytes = take_bytes(in, what);
		hf_blake2b(target, HF_DHT_ID_BYTES, (struct hf_slice){0}, bytes);
		FUZZ_CHECK(hf_buffer_append(value, bytes.data, bytes.length) == HF_OK);
	}
	hf_buffer_free(&peer);
}

static void send_request(struct input *in, struct stranger *s)
{
	uint8_t flags = take(in), topic = take(in), target[HF_DHT_ID_BYTES] = {topic % TOPICS}, id[HF_DHT_ID_BYTES];
	struct hf_dht_message m = {.tid = topic, .to = node_address, .is_internal = flags & 1, .command = take(in) % 13, .has_value = true};
	struct hf_buffer value = {0};

	if (flags & 32)
		memcpy(target, s->hash, sizeof target);
	if ((flags & 2) && !m.is_internal)
		make_value(in, s, &m, target, &value);
	if (value.length == 0) {
		struct hf_slice bytes = take_bytes(in, take(in));
		FUZZ_CHECK(hf_buffer_append(&value, bytes.data, bytes.length) == HF_OK);
	}
	m.value = hf_buffer_slice(&value);
	m.target = flags & 4 ? NULL : target;
	m.token = flags & 8 ? NULL : s->token;
	m.has_value = !(flags & 64);
	if (flags & 16) {
		hf_dht_id(id, hf_udp_address(s->udp));
		m.id = id;
	}
	send_message(s, &m);
	hf_buffer_free(&value);
}

static void on_handshake(void *context, const struct hf_dht_route *route, struct hf_slice noise)
{
	FUZZ_CHECK(hf_dht_answer_handshake(context, route, noise, NULL) == HF_OK);
}

static void on_holepunch(void *context, const struct hf_dht_route *route, uint64_t id, struct hf_slice payload)
{
	(void)id;
	FUZZ_CHECK(hf_dht_answer_holepunch(context, route, payload, NULL) == HF_OK);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct hf_udp_events events = {.received = received};
	static const struct hf_dht_listener listener = {on_handshake, on_holepunch};
	static const uint8_t listened[HF_DHT_ID_BYTES] = {1};
	struct input in = {data, data + size};
	struct stranger strangers[STRANGERS] = {{0}};
	struct sim_net *net = sim_net_new(1);
	struct hf_udx_net *udx;
	struct hf_dht_node *node;
	struct hf_dht_node_options options = {.size = sizeof options, .role = HF_DHT_BOOTSTRAPPER, .record_count_max = RECORDS_MAX};
	struct hf_dht_node_state state;
	struct hf_dht_node_stats stats;
	uint64_t now_us = 100000;
	char ip[] = "20.0.1.0";

	FUZZ_CHECK(hf_crypto_init() == HF_OK);
	FUZZ_CHECK(hf_address_parse("20.0.0.1:0", &options.address, NULL) == HF_OK);
	FUZZ_CHECK(hf_udx_net_new(&udx, sim_net_host(net, "20.0.0.1"), NULL) == HF_OK);
	options.net = udx;
	FUZZ_CHECK(hf_dht_node_new(&node, &options, NULL) == HF_OK);
	FUZZ_CHECK(hf_dht_node_listen(node, listened, &listener, node) == HF_OK);
	sim_net_run(net, now_us, NULL);
	hf_dht_node_read_state(node, &state);
	FUZZ_CHECK(state.is_persistent);
	memcpy(node_id, state.id, sizeof node_id);
	node_address = state.seen;
	for (uint8_t i = 0; i < STRANGERS; i++) {
		struct hf_udp_options udp = {.address.port = 1000, .events = &events, .context = &strangers[i]};
		uint8_t seed[32] = {i};
		ip[7] = (char)('1' + i);
		FUZZ_CHECK(hf_udp_open(sim_net_host(net, ip), &strangers[i].udp, &udp, NULL) == HF_OK);
		hf_sign_keypair_from_seed(strangers[i].public_key, strangers[i].secret_key, seed);
		hf_blake2b(strangers[i].hash, 32, (struct hf_slice){0}, hf_slice(strangers[i].public_key, 32));
	}
	while (in.at < in.end) {
		uint8_t what = take(&in);
		struct stranger *s = &strangers[what % STRANGERS];
		if (what < 200)
			send_request(&in, s);
		else if (what < 250)
			send_bytes(s, take_bytes(&in, take(&in)));
		now_us += what < 250 ? 1000 : (uint64_t)(what - 249) * 150 * 1000000; /* records get old */
		sim_net_run(net, now_us, NULL);
	}
	hf_dht_node_read_stats(node, &stats);
	FUZZ_CHECK(stats.records <= RECORDS_MAX && stats.routes <= RECORDS_MAX && stats.mutables <= RECORDS_MAX / 2);
	send_message(&strangers[0], &(struct hf_dht_message){.tid = 0xffff, .to = node_address, .is_internal = true});
	sim_net_run(net, now_us + 2000000, NULL);
	FUZZ_CHECK(strangers[0].pongs > 0);
	hf_dht_node_free(node);
	hf_udx_net_free(udx);
	for (unsigned i = 0; i < STRANGERS; i++)
		hf_udp_close(strangers[i].udp);
	sim_net_free(net);
	return 0;
}
