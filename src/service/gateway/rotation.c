/* rotation: keys that were rotated or revoked while the gateway runs, as a reload finds them in the data directory.
 *
 * What signs control frames is another key at once, and workers hear of it by the word of the old one. By the swarm key the gateway is
 * known to everybody it is connected with, and with the signing key a relay's bee begins; both stay what they are until the next start. Of
 * keys that were put aside a revoked one is not spoken with any more. */
#include "base/log.h"
#include "service/gateway/internal.h"
#include "service/gateway/tokens.h"
#include "service/gateway/workers.h"

static struct hf_log_module log_module = HF_LOG_MODULE("gateway");

static bool is_other(const struct hf_keys *keys, enum hf_key_purpose purpose, const uint8_t used[static 32])
{
	const struct hf_key *active = hf_keys_active(keys, purpose);
	return active && memcmp(active->public_key, used, 32) != 0;
}

static int change_signer(struct hf_gateway *g, const struct hf_key *key, struct hf_failure *failure)
{
	struct hf_buffer frame = {0};
	struct hf_worker *worker;
	size_t cursor = 0;
	int r = hf_tokens_change_signer(g->tokens, key->secret.data, &frame);
	while (r == HF_OK && g->workers && (worker = hf_workers_next(g->workers, &cursor)) != NULL)
		hf_worker_send_frame(worker, hf_buffer_slice(&frame));
	hf_buffer_free(&frame);
	if (r < 0)
		return hf_fail(failure, r, "The new gateway-signing key is not in use: %s.", hf_error_text(r));
	hf_log_info(&log_module, "control frames are signed with another key", NULL);
	return HF_OK;
}

static void revoke_retired(struct hf_gateway *g, const struct hf_keys *now)
{
	const struct hf_key *key, *found;
	size_t cursor = 0;
	while ((key = hf_keys_next(g->keys, &cursor)) != NULL) {
		found = hf_keys_find(now, key->id);
		if (!found || found->state != HF_KEY_REVOKED)
			continue;
		if (key->state == HF_KEY_RETIRING)
			hf_keys_revoke(g->keys, key->id, found->revoked_ms);
		else if (key->state == HF_KEY_ACTIVE)
			hf_log_warn(&log_module, "a key that is in use was revoked; start the gateway again", "purpose=%s",
				hf_key_purpose_name(key->purpose));
	}
}

int hf_gateway_reload_keys(struct hf_gateway *g, struct hf_failure *failure)
{
	struct hf_keys *now;
	int r = hf_keyring_open(&now, &g->directory, "keys", failure);
	if (r < 0)
		return r;
	if (g->tokens && is_other(now, HF_KEY_GATEWAY_SIGNING, hf_tokens_signer(g->tokens)))
		r = change_signer(g, hf_keys_active(now, HF_KEY_GATEWAY_SIGNING), failure);
	revoke_retired(g, now);
	hf_keys_free(now);
	return r;
}

void hf_gateway_each_key_restart(const struct hf_gateway *g, void (*each)(void *context, const char *what, const char *relay),
	void *context)
{
	const struct hf_key *swarm = hf_keys_active(g->keys, HF_KEY_SWARM), *signing = hf_keys_active(g->keys, HF_KEY_GATEWAY_SIGNING);
	struct hf_keys *now;
	if (hf_keyring_open(&now, &g->directory, "keys", NULL) < 0)
		return;
	if (swarm && is_other(now, HF_KEY_SWARM, swarm->public_key))
		each(context, "key swarm", NULL);
	if (signing && g->relay_count > 0 && hf_relay_bee(g->relays[0]) && is_other(now, HF_KEY_GATEWAY_SIGNING, signing->public_key))
		each(context, "key gateway-signing", hf_relay_instance(g->relays[0]));
	hf_keys_free(now);
}
