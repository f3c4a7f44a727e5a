/* token: what a node gives to who asks it, and wants back with what is to be stored: it shows that the asker receives at its address. The
 * token is bound to the host, not to the port, and good for 7.5 to 15 seconds. (spec: swarm, 2.4)
 */
#ifndef HF_WIRE_DHT_TOKEN_H
#define HF_WIRE_DHT_TOKEN_H

#include "wire/dht/message.h"

#define HF_DHT_TOKEN_TICK_MS 750u
#define HF_DHT_TOKEN_TICKS 10u /* between two secrets */

struct hf_dht_tokens {
	uint8_t secrets[2][32]; /* [1] makes new ones, both are accepted */
	uint8_t ticks_left;
	bool used;              /* nothing is rotated before the first was made */
};

void hf_dht_tokens_init(struct hf_dht_tokens *tokens, const uint8_t secrets[static 64]); /* random */
void hf_dht_token_make(struct hf_dht_tokens *tokens, uint8_t token[static HF_DHT_TOKEN_BYTES], const struct hf_address *host);
bool hf_dht_token_is_good(
	const struct hf_dht_tokens *tokens, const uint8_t token[static HF_DHT_TOKEN_BYTES], const struct hf_address *host);
void hf_dht_tokens_tick(struct hf_dht_tokens *tokens); /* every HF_DHT_TOKEN_TICK_MS */

#endif
