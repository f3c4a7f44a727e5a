#include "peer/relay_use.h"

int hf_relay_use_new(struct hf_relay_use **out, struct hf_dht_connector *connector,
	const uint8_t relay_key[static HF_SIGN_PUBLIC_BYTES], const uint8_t secret_key[static HF_SIGN_SECRET_BYTES], bool is_initiator,
	const uint8_t token[static 32], uint32_t stream_id, const struct hf_relay_use_events *events, void *context)
{
	*out = NULL;
	return HF_EINVAL;
}

void hf_relay_use_close(struct hf_relay_use *use)
{
}

void hf_relay_use_free(struct hf_relay_use *use)
{
}
