/* Datagrams of dht-rpc. What was read is written and read again: it is the same, and what follows it does not matter.
 *
 * Covers: src/wire/dht/message.c
 */
#include "fuzz.h"

#include "wire/dht/message.h"

static void check_bytes(const uint8_t *a, const uint8_t *b)
{
	FUZZ_CHECK((a == NULL) == (b == NULL));
	FUZZ_CHECK(a == NULL || memcmp(a, b, 32) == 0);
}

static void check_closer(struct hf_slice closer)
{
	uint8_t target[HF_DHT_ID_BYTES] = {0}, before[HF_DHT_ID_BYTES], id[HF_DHT_ID_BYTES];

	for (size_t i = 0; i < hf_dht_closer_count(closer) && i < 8; i++) {
		struct hf_address address = hf_dht_closer_at(closer, i);
		FUZZ_CHECK(hf_address_is_ipv4(&address));
		hf_dht_id(id, &address);
		FUZZ_CHECK(hf_dht_compare(target, id, id) == 0);
		if (i > 0)
			FUZZ_CHECK((hf_dht_compare(target, id, before) < 0) == (hf_dht_compare(target, before, id) > 0));
		memcpy(before, id, sizeof before);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_dht_message first, again;
	struct hf_buffer out = {0};

	if (hf_dht_message_read(hf_slice(data, size), &first) != HF_OK)
		return 0;
	FUZZ_CHECK(hf_dht_message_write(&first, &out) == HF_OK);
	FUZZ_CHECK(hf_buffer_append(&out, "more", 4) == HF_OK);
	FUZZ_CHECK(hf_dht_message_read(hf_buffer_slice(&out), &again) == HF_OK);
	FUZZ_CHECK(first.is_reply == again.is_reply && first.tid == again.tid && hf_address_equal(&first.to, &again.to));
	check_bytes(first.id, again.id);
	check_bytes(first.token, again.token);
	check_bytes(first.target, again.target);
	FUZZ_CHECK(first.is_internal == again.is_internal && first.command == again.command && first.error == again.error);
	FUZZ_CHECK(first.has_value == again.has_value && hf_slice_equal(first.value, again.value));
	FUZZ_CHECK(hf_slice_equal(first.closer, again.closer));
	check_closer(first.closer);
	hf_buffer_free(&out);
	return 0;
}
