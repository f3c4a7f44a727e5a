/* event_text: makes events as JSON with a right id, for tests. */
#ifndef TEST_EVENT_TEXT_H
#define TEST_EVENT_TEXT_H

#include "codec/hex.h"
#include "crypto/hash.h"
#include "data/event/event.h"

#define TEST_PUBKEY "aabbccddeeff00112233445566778899aabbccddeeff00112233445566778899"
#define TEST_SIG TEST_PUBKEY TEST_PUBKEY

/* Appends an event's JSON object. tags and content are written into the object as they are given; the id is
 * the hash over hash_tags and hash_content (the same when NULL). */
static inline void test_event_append(struct hf_buffer *out, const char *pubkey, uint64_t created_at, unsigned kind,
	const char *tags, const char *content, const char *hash_tags, const char *hash_content)
{
	struct hf_buffer text = {0};
	uint8_t id[32];
	char digits[65] = "";
	hf_buffer_printf(&text, "[0,\"%s\",%llu,%u,%s,\"%s\"]", pubkey, (unsigned long long)created_at, kind,
		hash_tags != NULL ? hash_tags : tags, hash_content != NULL ? hash_content : content);
	hf_sha256(id, hf_buffer_slice(&text));
	hf_hex_encode(digits, id, 32);
	hf_buffer_free(&text);
	hf_buffer_printf(out, "{\"id\":\"%s\",\"pubkey\":\"%s\",\"created_at\":%llu,\"kind\":%u,\"tags\":%s,\"content\":\"%s\","
		"\"sig\":\"%s\"}", digits, pubkey, (unsigned long long)created_at, kind, tags, content, TEST_SIG);
}

#endif
