/* dht_json: addresses and messages of HyperDHT as the vectors in test/vectors/swarm have them. */
#ifndef TEST_UNIT_WIRE_DHT_JSON_H
#define TEST_UNIT_WIRE_DHT_JSON_H

#include "support/vectors.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "wire/dht/handshake.h"

static inline struct hf_address json_address(const json_t *object)
{
	struct hf_address address;
	const char *host = vectors_text(object, "host");
	char text[HF_ADDRESS_TEXT_BYTES];

	snprintf(text, sizeof text, strchr(host, ':') ? "[%s]:%u" : "%s:%u", host, (unsigned)vectors_uint(object, "port"));
	assert_int_equal(hf_address_parse(text, &address, NULL), HF_OK);
	return address;
}

/* The member; whether there is one that is not null. */
static inline bool json_has(const json_t *object, const char *key)
{
	json_t *member = json_object_get(object, key);

	return member != NULL && !json_is_null(member);
}

static inline bool json_addresses(const json_t *object, const char *key, struct hf_dht_addresses *addresses)
{
	size_t i;
	json_t *item;

	addresses->count = 0;
	if (!json_has(object, key))
		return false;
	json_array_foreach(json_object_get(object, key), i, item)
		addresses->list[addresses->count++] = json_address(item);
	return true;
}

static inline bool json_optional_address(const json_t *object, const char *key, struct hf_address *address)
{
	if (!json_has(object, key))
		return false;
	*address = json_address(json_object_get(object, key));
	return true;
}

static inline void expect_addresses(const struct hf_dht_addresses *read, const struct hf_dht_addresses *expected)
{
	assert_int_equal(read->count, expected->count);
	for (size_t i = 0; i < read->count; i++)
		assert_true(hf_address_equal(&read->list[i], &expected->list[i]));
}

#endif
