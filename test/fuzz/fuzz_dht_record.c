/* Records of HyperDHT; the first byte says which. What was read is written and read again: it is the same.
 *
 * Covers: src/wire/dht/record.c
 */
#include "fuzz.h"

#include "wire/dht/record.h"

static void check_peer(struct hf_slice bytes)
{
	struct hf_address relays[64];
	struct hf_dht_peer peer, again;
	struct hf_buffer out = {0};

	if (hf_dht_peer_read(bytes, &peer) != HF_OK || hf_dht_closer_count(peer.relays) > 64)
		return;
	for (size_t i = 0; i < hf_dht_closer_count(peer.relays); i++)
		relays[i] = hf_dht_closer_at(peer.relays, i);
	FUZZ_CHECK(hf_dht_peer_write(peer.public_key, relays, hf_dht_closer_count(peer.relays), &out) == HF_OK);
	FUZZ_CHECK(hf_dht_peer_read(hf_buffer_slice(&out), &again) == HF_OK);
	FUZZ_CHECK(memcmp(peer.public_key, again.public_key, HF_SIGN_PUBLIC_BYTES) == 0 && hf_slice_equal(peer.relays, again.relays));
	hf_buffer_free(&out);
}

static void check_announce(struct hf_slice bytes)
{
	uint8_t zero[32] = {0}, signable[HF_DHT_SIGNABLE_BYTES], other[HF_DHT_SIGNABLE_BYTES];
	struct hf_dht_announce announce, again;
	struct hf_buffer out = {0};

	if (hf_dht_announce_read(bytes, &announce) != HF_OK)
		return;
	FUZZ_CHECK(hf_dht_announce_write(&announce, &out) == HF_OK);
	FUZZ_CHECK(hf_dht_announce_read(hf_buffer_slice(&out), &again) == HF_OK);
	FUZZ_CHECK(announce.has_peer == again.has_peer && announce.bump == again.bump);
	FUZZ_CHECK(!announce.has_peer || hf_slice_equal(announce.peer.bytes, again.peer.bytes));
	FUZZ_CHECK(!announce.signature == !again.signature && !announce.refresh == !again.refresh);
	if (announce.has_peer) {
		hf_dht_announce_signable(signable, HF_DHT_ANNOUNCE, zero, zero, zero, announce.peer.bytes, announce.refresh);
		hf_dht_announce_signable(other, HF_DHT_UNANNOUNCE, zero, zero, zero, again.peer.bytes, again.refresh);
		FUZZ_CHECK(memcmp(signable, other, 32) != 0 && memcmp(signable + 32, other + 32, 32) == 0);
	}
	hf_buffer_free(&out);
}

static void check_lookup_reply(struct hf_slice bytes)
{
	struct hf_dht_lookup_reply reply, again;
	struct hf_buffer records = {0}, out = {0};

	if (hf_dht_lookup_reply_read(bytes, &reply) != HF_OK)
		return;
	FUZZ_CHECK(reply.count <= HF_DHT_LOOKUP_PEERS_MAX);
	for (size_t i = 0; i < reply.count; i++)
		FUZZ_CHECK(hf_buffer_append(&records, reply.peers[i].bytes.data, reply.peers[i].bytes.length) == HF_OK);
	FUZZ_CHECK(hf_dht_lookup_reply_write(hf_buffer_slice(&records), reply.count, reply.bump, &out) == HF_OK);
	FUZZ_CHECK(hf_dht_lookup_reply_read(hf_buffer_slice(&out), &again) == HF_OK);
	FUZZ_CHECK(again.count == reply.count && again.bump == reply.bump);
	for (size_t i = 0; i < reply.count; i++)
		FUZZ_CHECK(hf_slice_equal(reply.peers[i].bytes, again.peers[i].bytes));
	hf_buffer_free(&records);
	hf_buffer_free(&out);
}

static void check_mutable(struct hf_slice bytes)
{
	uint8_t signable[HF_DHT_SIGNABLE_BYTES];
	struct hf_dht_mutable put, again;
	struct hf_buffer out = {0};

	if (hf_dht_mutable_put_read(bytes, &put) != HF_OK)
		return;
	hf_dht_mutable_signable(signable, put.seq, put.value);
	FUZZ_CHECK(hf_dht_mutable_put_write(&put, &out) == HF_OK);
	FUZZ_CHECK(hf_dht_mutable_put_read(hf_buffer_slice(&out), &again) == HF_OK);
	FUZZ_CHECK(put.seq == again.seq && hf_slice_equal(put.value, again.value));
	hf_buffer_clear(&out);
	FUZZ_CHECK(hf_dht_mutable_write(&put, &out) == HF_OK);
	FUZZ_CHECK(hf_dht_mutable_read(hf_buffer_slice(&out), &again) == HF_OK);
	FUZZ_CHECK(put.seq == again.seq && hf_slice_equal(put.value, again.value));
	hf_buffer_free(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_slice bytes = hf_slice(data + (size > 0), size > 0 ? size - 1 : 0);

	switch (size > 0 ? data[0] & 3 : 0) {
	case 0: check_peer(bytes); break;
	case 1: check_announce(bytes); break;
	case 2: check_lookup_reply(bytes); break;
	default: check_mutable(bytes); break;
	}
	return 0;
}
