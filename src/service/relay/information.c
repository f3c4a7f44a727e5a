/* information: the NIP-11 document, made once for each set of settings. */
#include <jansson.h>
#include <stdlib.h>

#include "codec/core_key.h"
#include "codec/hex.h"
#include "service/relay/internal.h"

static json_t *supported_nips(void)
{
	static const int nips[] = {1, 9, 11, 40, 42, 45, 70};
	json_t *list = json_array();
	for (size_t i = 0; i < sizeof nips / sizeof *nips; i++)
		json_array_append_new(list, json_integer(nips[i]));
	return list;
}

static json_t *limitation(const struct hf_config *config, const struct hf_config_relay *settings, const struct hf_relay *relay)
{
	json_t *l = json_object();
	json_object_set_new(l, "max_message_length", json_integer((json_int_t)config->message_bytes_max));
	json_object_set_new(l, "max_subscriptions", json_integer((json_int_t)settings->subscriptions_max));
	json_object_set_new(l, "max_filters", json_integer((json_int_t)settings->filters_max));
	json_object_set_new(l, "max_limit", json_integer((json_int_t)settings->limit_max));
	json_object_set_new(l, "default_limit", json_integer((json_int_t)settings->limit_max));
	json_object_set_new(l, "max_subid_length", json_integer(HF_NOSTR_SUBSCRIPTION_ID_CHARACTERS_MAX));
	json_object_set_new(l, "max_event_tags", json_integer(HF_EVENT_TAG_COUNT_MAX));
	json_object_set_new(l, "max_content_length", json_integer((json_int_t)settings->event_bytes_max));
	json_object_set_new(l, "min_pow_difficulty", json_integer(0));
	json_object_set_new(l, "auth_required", json_false());
	json_object_set_new(l, "payment_required", json_false());
	json_object_set_new(l, "restricted_writes", json_boolean(!hf_relay_writers_is_open(relay->policy.writers)));
	json_object_set_new(l, "created_at_upper_limit", json_integer((json_int_t)(settings->created_at_ahead_ms / 1000)));
	return l;
}

static void set_text(json_t *object, const char *name, const char *text)
{
	if (text[0])
		json_object_set_new(object, name, json_string(text));
}

int hf_relay_information_build(const struct hf_config *config, const struct hf_config_relay *settings,
	const struct hf_relay *relay, struct hf_buffer *out)
{
	char self[65] = {0};
	hf_hex_encode(self, relay->identity, 32);
	json_t *document = json_object();
	json_object_set_new(document, "name", json_string(settings->name));
	set_text(document, "description", settings->description);
	set_text(document, "contact", settings->contact);
	set_text(document, "pubkey", settings->pubkey);
	set_text(document, "icon", settings->icon);
	json_object_set_new(document, "self", json_string(self));
	json_object_set_new(document, "supported_nips", supported_nips());
	json_object_set_new(document, "software", json_string("holdfast"));
	json_object_set_new(document, "version", json_string(HF_VERSION));
	json_object_set_new(document, "limitation", limitation(config, settings, relay));
	char *text = document ? json_dumps(document, JSON_COMPACT) : NULL;
	json_decref(document);
	int r = text ? hf_buffer_append_text(out, text) : HF_ENOMEM;
	free(text);
	return r;
}

static json_t *bee_facts(const struct hf_relay_bee *bee)
{
	struct hf_relay_bee_facts f;
	char key[HF_CORE_ID_BYTES], discovery_key[65] = {0};
	hf_relay_bee_facts(bee, &f);
	hf_core_key_encode(key, f.key);
	hf_hex_encode(discovery_key, f.discovery_key, 32);
	return json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "key", key, "discovery_key", discovery_key, "version", (json_int_t)f.version,
		"fork", (json_int_t)f.fork, "lag_events", (json_int_t)f.lag_events, "lag_ms", (json_int_t)f.lag_ms);
}

int hf_relay_information_append(const struct hf_relay *relay, bool with_bee, struct hf_buffer *out)
{
	const struct hf_buffer *text = &relay->information;
	if (!relay->bee || !with_bee)
		return hf_buffer_append(out, text->data, text->length);
	json_t *facts = bee_facts(relay->bee);
	char *bee = facts ? json_dumps(facts, JSON_COMPACT) : NULL;
	json_decref(facts);
	int r = bee ? hf_buffer_append(out, text->data, text->length - 1) : HF_ENOMEM; /* without the last brace */
	if (r == HF_OK)
		r = hf_buffer_printf(out, ",\"hyperbee\":%s}", bee);
	free(bee);
	return r;
}
