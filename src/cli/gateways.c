/* gateways: which gateways can be heard in a network. */
#include <stdio.h>
#include <stdlib.h>

#include "cli/dht.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "service/discovery.h"

struct listing {
	struct hf_cli_dht dht; /* first */
	struct hf_dht_connector *connector;
	struct hf_discovery *discovery;
	size_t heard, refused;
};

static json_t *describe_predecessors(const struct hf_announcement *a)
{
	json_t *list = json_array();
	for (size_t i = 0; list && i < a->predecessor_count; i++) {
		char key[65] = {0};
		uint64_t since_ms;
		hf_hex_encode(key, a->predecessors[i].key, 32);
		if (hf_announcement_succeeds(a, a->predecessors[i].key, &since_ms))
			json_array_append_new(list, json_string(key));
	}
	return list;
}

static json_t *describe(const struct hf_announcement *a, uint64_t now_ms, const char *refusal)
{
	char key[65] = {0}, signature_key[65] = {0}, relay_key[65] = {0};
	hf_hex_encode(key, a->gateway_key, 32);
	hf_hex_encode(signature_key, a->signature_key, 32);
	if (a->has_relay_key)
		hf_hex_encode(relay_key, a->relay_key, 32);
	return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:b, s:I, s:I, s:s, s:b, s:b, s:s, s:o}", "name", a->display_name, "url", a->ws_url,
		"public_url", a->public_url, "key", key, "signature_key", signature_key, "region", a->region, "open", a->is_open, "age_ms",
		(json_int_t)(now_ms > a->timestamp_ms ? now_ms - a->timestamp_ms : 0), "ttl_s", (json_int_t)a->ttl_s, "relay_key", relay_key,
		"holdfast", a->has_extension, "verified", refusal == NULL, "refused", refusal ? refusal : "", "predecessors", describe_predecessors(a));
}

static void print(struct listing *l, const struct hf_announcement *a, const char *refusal)
{
	json_t *facts = describe(a, hf_env_wall_ms(&l->dht.cli->env), refusal);
	if (l->dht.cli->json) {
		hf_cli_dht_print(facts);
		return;
	}
	printf("%s  %s\n    key       %s\n", a->display_name[0] ? a->display_name : "(no name)", a->ws_url,
		json_string_value(json_object_get(facts, "key")));
	if (a->region[0])
		printf("    region    %s\n", a->region);
	printf("    heard     %lld s old, good for %lld s\n    %s\n", (long long)json_integer_value(json_object_get(facts, "age_ms")) / 1000,
		(long long)a->ttl_s, refusal ? "not believed" : a->is_open ? "verified, open: whoever proves a key may register"
			: "verified; it registers whom it allows");
	if (refusal)
		printf("    reason    %s\n", refusal);
	if (!a->has_extension)
		printf("    of Hypertuna's kind: used with compatibility.hypertuna only\n");
	json_decref(facts);
}

static bool on_heard(void *context, const struct hf_announcement *a, const uint8_t advertiser[static 32])
{
	struct listing *l = context;
	l->heard++;
	print(l, a, NULL);
	return true;
}

static void on_refused(void *context, enum hf_announcement_refusal refusal, const struct hf_announcement *a,
	const uint8_t advertiser[static 32])
{
	struct listing *l = context;
	char key[65] = {0};
	l->refused++;
	if (a) {
		print(l, a, hf_announcement_refusal_name(refusal));
		return;
	}
	hf_hex_encode(key, advertiser, 32);
	if (l->dht.cli->json)
		hf_cli_dht_print(json_pack("{s:s, s:b, s:s}", "advertiser", key, "verified", 0, "refused", hf_announcement_refusal_name(refusal)));
	else
		printf("(nothing that could be read)\n    from      %s\n    reason    %s\n", key, hf_announcement_refusal_name(refusal));
}

static void on_looked(void *context, int code)
{
	struct listing *l = context;
	if (code < 0)
		hf_cli_dht_end(&l->dht, code, "The lookup failed: %s.", hf_error_text(code));
	else if (l->heard + l->refused == 0)
		hf_cli_dht_end(&l->dht, HF_ENOTFOUND, "No gateway announces itself there.");
	else
		hf_cli_dht_end(&l->dht, HF_OK, "%s", "");
}

static int start(struct listing *l, struct hf_failure *failure)
{
	static const struct hf_discovery_events events = {.heard = on_heard, .refused = on_refused, .looked = on_looked};
	struct hf_dht_connector_options connector = {.size = sizeof connector, .node = l->dht.node, .loop = l->dht.loop};
	struct hf_discovery_options discovery = {.size = sizeof discovery, .loop = l->dht.loop, .events = &events, .context = l,
		.takes_foreign_keys = l->dht.cli->config->hypertuna};
	int r = hf_dht_connector_new(&l->connector, &connector, failure);
	discovery.connector = l->connector;
	if (r == HF_OK)
		r = hf_discovery_new(&l->discovery, &discovery, failure);
	if (r == HF_OK)
		hf_discovery_look(l->discovery);
	return r;
}

int hf_cli_gateways_list(struct hf_cli *cli)
{
	struct listing l = {0};
	struct hf_dht_node_options node = {.role = HF_DHT_EPHEMERAL};
	int code = hf_crypto_init() < 0 ? HF_CLI_FAILED : hf_cli_dht_open(&l.dht, cli, true);
	if (code == HF_CLI_OK)
		code = hf_cli_dht_start(&l.dht, &node);
	if (code == HF_CLI_OK) {
		int r = start(&l, &l.dht.failure);
		if (r < 0)
			hf_cli_dht_end(&l.dht, r, "Gateways cannot be looked for: %s.", hf_error_text(r));
		code = hf_cli_dht_run(&l.dht);
	}
	hf_discovery_free(l.discovery);
	hf_dht_connector_free(l.connector);
	hf_cli_dht_close(&l.dht);
	return code;
}
