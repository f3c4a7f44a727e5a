/* A blind relay and a client of one, each at the end of a Protomux that is fed the input. The first byte chooses who it is; 0 and 1 are the
 * messages alone, which go around.
 *
 * Covers: src/wire/blind_relay.c
 */
#include "fuzz.h"

#include "wire/blind_relay.h"

static const uint8_t key[32] = {1}, token[32] = {2};

static int on_send(void *owner, const struct iovec *parts, int count)
{
	return HF_OK;
}

static bool on_is_congested(void *owner)
{
	return false;
}

static void on_error(void *owner, const struct hf_failure *failure)
{
}

static const struct hf_protomux_events mux_events = {.send = on_send, .is_congested = on_is_congested, .error = on_error};

static int links;

static int on_join(void *context, const uint32_t remote_ids[static 2], uint32_t ids[static 2], void **link)
{
	if (remote_ids[0] == 13)
		return HF_EBUSY;
	*link = malloc(1);
	ids[0] = remote_ids[1];
	ids[1] = remote_ids[0];
	links++;
	return HF_OK;
}

static void on_leave(void *context, void *link)
{
	free(link);
	links--;
}

static const struct hf_blind_relay_events relay_events = {.join = on_join, .leave = on_leave};

static void on_paired(void *context, const struct hf_blind_relay_pair *pair)
{
	(*(unsigned *)context)++;
}

static void on_closed(void *context)
{
	(*(unsigned *)context)++;
}

static const struct hf_blind_relay_client_events client_events = {.paired = on_paired, .closed = on_closed};

/* Messages of the stream, each with its length in a byte in front. */
static void feed(struct hf_protomux *mux, const uint8_t *data, size_t size)
{
	while (size > 0) {
		size_t length = data[0] < size ? data[0] : size - 1;
		hf_protomux_recv(mux, hf_slice(data + 1, length));
		data += 1 + length;
		size -= 1 + length;
	}
}

static void be_relay(const uint8_t *data, size_t size)
{
	struct hf_blind_relay_limits limits = {.session_count_max = 2, .pair_count_max = 4, .session_pairs_max = 3};
	struct hf_blind_relay_options options = {.limits = size % 2 ? &limits : NULL, .events = &relay_events, .seed = 1};
	struct hf_blind_relay_stats stats;
	struct hf_blind_relay *relay;
	struct hf_protomux *muxes[3];

	FUZZ_CHECK(hf_blind_relay_new(&relay, &options) == HF_OK);
	for (int i = 0; i < 3; i++) {
		FUZZ_CHECK(hf_protomux_new(&mux_events, NULL, 1, NULL, &muxes[i]) == HF_OK);
		int error = hf_blind_relay_accept(relay, muxes[i], key);
		FUZZ_CHECK(error == (i == 2 && size % 2 ? HF_EBUSY : HF_OK));
	}
	feed(muxes[0], data, size / 2);
	feed(muxes[1], data + size / 2, size - size / 2);
	hf_blind_relay_read_stats(relay, &stats);
	FUZZ_CHECK(stats.joined_count == (size_t)links && stats.joined_count + stats.waiting_count <= 1024);
	hf_blind_relay_left(relay, NULL);
	hf_protomux_free(muxes[0]);
	hf_blind_relay_free(relay);
	FUZZ_CHECK(links == 0);
	hf_protomux_free(muxes[1]);
	hf_protomux_free(muxes[2]);
}

static void be_client(const uint8_t *data, size_t size)
{
	struct hf_blind_relay_pair pair = {.is_initiator = true, .id = 5};
	struct hf_blind_relay_client *client;
	struct hf_protomux *mux;
	unsigned heard = 0;

	FUZZ_CHECK(hf_protomux_new(&mux_events, NULL, 1, NULL, &mux) == HF_OK);
	FUZZ_CHECK(hf_blind_relay_client_open(&client, mux, key, &client_events, &heard) == HF_OK);
	FUZZ_CHECK(hf_blind_relay_client_pair(client, &pair) == HF_OK && hf_blind_relay_client_unpair(client, token) == HF_OK);
	feed(mux, data, size);
	if (size % 2) {
		hf_blind_relay_client_free(client);
		hf_protomux_free(mux);
	} else {
		hf_protomux_free(mux);
		FUZZ_CHECK(heard > 0 && hf_blind_relay_client_pair(client, &pair) == HF_ECLOSED);
		hf_blind_relay_client_free(client);
	}
}

static void go_around(bool unpairs, struct hf_slice body)
{
	struct hf_buffer once = {0}, again = {0};
	struct hf_blind_relay_pair pair;
	uint8_t read[32];

	if (unpairs && hf_blind_relay_unpair_decode(body, read) == HF_OK) {
		FUZZ_CHECK(hf_blind_relay_unpair_encode(read, &once) == HF_OK && memcmp(once.data + 1, body.data + 1, 32) == 0);
	} else if (!unpairs && hf_blind_relay_pair_decode(body, &pair) == HF_OK) {
		FUZZ_CHECK(hf_blind_relay_pair_encode(&pair, &once) == HF_OK);
		FUZZ_CHECK(hf_blind_relay_pair_decode(hf_buffer_slice(&once), &pair) == HF_OK);
		FUZZ_CHECK(hf_blind_relay_pair_encode(&pair, &again) == HF_OK);
		FUZZ_CHECK(hf_slice_equal(hf_buffer_slice(&once), hf_buffer_slice(&again)));
	}
	hf_buffer_free(&once);
	hf_buffer_free(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	switch (data[0]) {
	case 0:
	case 1: go_around(data[0], hf_slice(data + 1, size - 1)); break;
	case 2: be_relay(data + 1, size - 1); break;
	default: be_client(data + 1, size - 1); break;
	}
	return 0;
}
