#include "wire/dht/token.h"

#include "crypto/hash.h"

void hf_dht_tokens_init(struct hf_dht_tokens *tokens, const uint8_t secrets[static 64])
{
	*tokens = (struct hf_dht_tokens){.ticks_left = HF_DHT_TOKEN_TICKS};
	memcpy(tokens->secrets, secrets, 64);
}

static void make(uint8_t token[static HF_DHT_TOKEN_BYTES], const struct hf_address *host, const uint8_t secret[static 32])
{
	char text[HF_ADDRESS_TEXT_BYTES];

	hf_address_text(host, false, text);
	hf_blake2b(token, HF_DHT_TOKEN_BYTES, hf_slice(secret, 32), hf_slice_text(text));
}

void hf_dht_token_make(struct hf_dht_tokens *tokens, uint8_t token[static HF_DHT_TOKEN_BYTES], const struct hf_address *host)
{
	tokens->used = true;
	make(token, host, tokens->secrets[1]);
}

bool hf_dht_token_is_good(
	const struct hf_dht_tokens *tokens, const uint8_t token[static HF_DHT_TOKEN_BYTES], const struct hf_address *host)
{
	uint8_t expected[HF_DHT_TOKEN_BYTES];

	for (int i = 1; i >= 0; i--) {
		make(expected, host, tokens->secrets[i]);
		if (hf_bytes_equal_secret(expected, token, HF_DHT_TOKEN_BYTES))
			return true;
	}
	return false;
}

void hf_dht_tokens_tick(struct hf_dht_tokens *tokens)
{
	uint8_t next[32];

	if (!tokens->used || --tokens->ticks_left > 0)
		return;
	tokens->ticks_left = HF_DHT_TOKEN_TICKS;
	hf_blake2b(next, sizeof next, (struct hf_slice){0}, hf_slice(tokens->secrets[0], 32));
	memcpy(tokens->secrets[0], tokens->secrets[1], 32);
	memcpy(tokens->secrets[1], next, 32);
}
