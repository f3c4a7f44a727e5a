/* actions_relay: what a relay is, and its bee. While a gateway runs it answers these itself, since the bee is its loop's. */
#include "codec/core_key.h"
#include "codec/hex.h"
#include "service/actions_private.h"
#include "service/keyring.h"
#include "service/relay/bee.h"

#include <stdio.h>

static json_t *bee_facts(const struct hf_relay_bee_facts *f, bool is_running)
{
	char key[HF_CORE_ID_BYTES], discovery_key[65] = {0};
	hf_core_key_encode(key, f->key);
	hf_hex_encode(discovery_key, f->discovery_key, 32);
	json_t *facts = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I}", "key", key, "discovery_key", discovery_key,
		"version", (json_int_t)f->version, "fork", (json_int_t)f->fork, "bytes", (json_int_t)f->byte_length,
		"events", (json_int_t)f->event_count, "position", (json_int_t)f->position);
	json_t *live = is_running && facts ? json_pack("{s:b, s:I, s:I, s:I, s:I, s:I, s:I}", "paused", f->is_paused,
		"lag_events", (json_int_t)f->lag_events, "lag_ms", (json_int_t)f->lag_ms, "puts", (json_int_t)f->put_count,
		"deletes", (json_int_t)f->delete_count, "batches", (json_int_t)f->batch_count, "peers", (json_int_t)f->peer_count) : NULL;
	if (live)
		json_object_update(facts, live);
	json_decref(live);
	return facts;
}

json_t *hf_action_relay_facts(const char *relay, const uint8_t *identity, const struct hf_relay_bee_facts *bee, bool is_running)
{
	json_t *facts = json_pack("{s:s, s:o}", "relay", relay, "bee", bee ? bee_facts(bee, is_running) : json_null());
	if (facts && identity)
		json_object_set_new(facts, "identity", hf_json_hex(identity, 32));
	return facts;
}

static int open_cores(struct hf_action_run *run, struct hf_corestore **cores)
{
	struct hf_action_call *call = run->call;
	struct hf_corestore_options options = {.size = sizeof options, .store = call->store, .env = call->env, .blocking = true};
	return hf_action_open_cores(cores, &options, call->config, &call->failure);
}

int hf_action_relay_info(struct hf_action_run *run)
{
	struct hf_action_call *call = run->call;
	struct hf_relay_bee_facts facts;
	struct hf_corestore *cores;
	int r = open_cores(run, &cores);
	if (r < 0)
		return r;
	r = hf_relay_bee_look(cores, call->store, run->collection, &facts, &call->failure);
	hf_corestore_close(cores);
	if (r < 0 && r != HF_ENOTFOUND)
		return r;
	call->failure = (struct hf_failure){0};
	return hf_action_append(&call->out, hf_action_relay_facts(json_string_value(json_object_get(run->arguments, "relay")), NULL,
		r == HF_OK ? &facts : NULL, false));
}

int hf_action_relay_rebuild_bee(struct hf_action_run *run)
{
	struct hf_action_call *call = run->call;
	struct hf_corestore *cores;
	int r = open_cores(run, &cores);
	if (r < 0)
		return r;
	r = hf_relay_bee_reset(cores, call->store, run->collection, &call->failure);
	hf_corestore_close(cores);
	return r == HF_OK ? hf_action_append(&call->out, json_pack("{s:b}", "begun", false)) : r;
}
