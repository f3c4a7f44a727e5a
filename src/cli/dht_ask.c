/* dht_ask: commands that join the DHT for a moment, ask it something and print what comes. Their nodes are ephemeral. */
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/list.h"
#include "base/map.h"
#include "base/text.h"
#include "cli/dht.h"
#include "codec/base64.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "crypto/namespace.h"
#include "crypto/secret.h"
#include "peer/dht_node_lookup.h"
#include "peer/dht_node_value.h"

#define HEX_BYTES (2 * 32 + 1)

static char *to_hex(char out[static HEX_BYTES], const uint8_t bytes[static 32])
{
	hf_hex_encode(out, bytes, 32);
	out[HEX_BYTES - 1] = '\0';
	return out;
}

/* A node, then what `start` starts on it, until the loop is ended. */
static int run(struct hf_cli_dht *dht, struct hf_cli *cli, bool needs_bootstrap, int (*start)(struct hf_cli_dht *dht))
{
	struct hf_dht_node_options options = {.role = HF_DHT_EPHEMERAL};
	int code = hf_cli_dht_open(dht, cli, needs_bootstrap);

	if (code == HF_CLI_OK)
		code = hf_cli_dht_start(dht, &options);
	if (code == HF_CLI_OK) {
		int r = start(dht);
		if (r < 0)
			hf_cli_dht_end(dht, r, "It cannot be asked: %s.", hf_error_text(r));
		code = hf_cli_dht_run(dht);
	}
	return code;
}

/* The key pair of --seed, or a new one. False: it has been said what is wrong. */
static bool make_keys(struct hf_cli *cli, uint8_t public_key[static 32], uint8_t secret_key[static 64])
{
	const char *text = hf_cli_option(cli, "seed");
	uint8_t seed[HF_SIGN_SEED_BYTES];

	if (text && (strlen(text) != 64 || !hf_hex_decode(seed, text, sizeof seed))) {
		hf_cli_dht_usage(cli, "--seed is 32 bytes, written as 64 characters of hexadecimal.");
		return false;
	}
	if (hf_crypto_init() < 0)
		return false;
	if (text)
		hf_sign_keypair_from_seed(public_key, secret_key, seed);
	else
		hf_sign_keypair_generate(public_key, secret_key, &cli->env);
	return true;
}

/* The one argument: 32 bytes. */
static bool take_key(struct hf_cli *cli, const char *what, uint8_t key[static 32])
{
	char sentence[200];

	if (cli->argument_count > 0 && hf_cli_dht_key(cli->arguments[0], key))
		return true;
	snprintf(sentence, sizeof sentence, "give %s: 64 characters of hexadecimal, or 52 of z-base-32.", what);
	hf_cli_dht_usage(cli, sentence);
	return false;
}

static bool take_seq(struct hf_cli *cli, uint64_t *seq)
{
	const char *text = hf_cli_option(cli, "seq");

	*seq = 0;
	if (!text || (hf_text_to_u64(text, seq) == HF_OK && *seq <= HF_COMPACT_UINT_MAX))
		return true;
	hf_cli_dht_usage(cli, "--seq is a whole number from 0 on.");
	return false;
}

/* ---- Lookup and announce ---- */

struct looking {
	struct hf_cli_dht dht; /* first */
	struct hf_dht_lookup lookup;
	struct hf_map seen; /* public keys */
	uint64_t count;
	uint8_t public_key[32], secret_key[64];
};

static void print_peer(struct looking *l, const struct hf_dht_peer *peer)
{
	json_t *relays = json_array();
	char key[HEX_BYTES], text[HF_ADDRESS_TEXT_BYTES];

	to_hex(key, peer->public_key);
	if (!l->dht.cli->json)
		printf("%s", key);
	for (size_t i = 0; i < hf_dht_closer_count(peer->relays); i++) {
		struct hf_address relay = hf_dht_closer_at(peer->relays, i);
		json_array_append_new(relays, hf_cli_dht_address(&relay));
		if (!l->dht.cli->json)
			printf(" %s", hf_address_text(&relay, true, text));
	}
	if (l->dht.cli->json)
		hf_cli_dht_print(json_pack("{s:s, s:O}", "public_key", key, "relays", relays));
	else
		puts("");
	json_decref(relays);
}

static void on_peers(struct hf_dht_lookup *lookup, const struct hf_dht_reply *reply, const struct hf_dht_peer *peers, size_t count)
{
	struct looking *l = HF_CONTAINER_OF(lookup, struct looking, lookup);

	(void)reply;
	for (size_t i = 0; i < count; i++) {
		uint8_t *key = malloc(32);
		if (!key)
			return;
		memcpy(key, peers[i].public_key, 32);
		if (hf_map_get(&l->seen, hf_slice(key, 32)) || hf_map_put(&l->seen, hf_slice(key, 32), key, NULL) < 0) {
			free(key);
			continue;
		}
		l->count++;
		print_peer(l, &peers[i]);
	}
}

static void on_looked_up(struct hf_dht_lookup *lookup, int code)
{
	struct looking *l = HF_CONTAINER_OF(lookup, struct looking, lookup);

	if (code == HF_OK && lookup->closest_count == 0)
		hf_cli_dht_end(&l->dht, HF_ETIMEOUT, "No node answers.");
	else if (code < 0)
		hf_cli_dht_end(&l->dht, code, "The lookup failed: %s.", hf_error_text(code));
	else if (l->count == 0)
		hf_cli_dht_end(&l->dht, HF_ENOTFOUND, "Nobody is announced there.");
	else
		hf_cli_dht_end(&l->dht, HF_OK, "%s", "");
}

static int start_lookup(struct hf_cli_dht *dht)
{
	return hf_dht_lookup_start(dht->node, &((struct looking *)(void *)dht)->lookup);
}

/* The topic as it was given, or what it stands for. */
static void to_target(const struct hf_cli *cli, uint8_t target[static 32])
{
	uint8_t key[32];

	memcpy(key, target, sizeof key);
	if (hf_cli_option(cli, "core"))
		hf_discovery_key(target, key);
	else if (hf_cli_option(cli, "peer"))
		hf_blake2b(target, 32, (struct hf_slice){0}, hf_slice(key, sizeof key));
}

int hf_cli_dht_lookup(struct hf_cli *cli)
{
	struct looking l = {.lookup = {.kind = hf_cli_option(cli, "peer") ? HF_DHT_FIND : HF_DHT_LOOK_UP, .peers = on_peers,
		.done = on_looked_up}};
	size_t cursor = 0;
	if (!take_key(cli, "the TOPIC", l.lookup.target))
		return HF_CLI_USAGE;
	to_target(cli, l.lookup.target);
	hf_map_init(&l.seen, 0);
	int code = run(&l.dht, cli, true, start_lookup);
	hf_dht_lookup_cancel(&l.lookup);
	hf_cli_dht_close(&l.dht);
	for (uint8_t *key; (key = hf_map_next(&l.seen, &cursor));)
		free(key);
	hf_map_free(&l.seen);
	return code;
}

static void on_announced(struct hf_dht_lookup *lookup, int code)
{
	struct looking *l = HF_CONTAINER_OF(lookup, struct looking, lookup);
	char key[HEX_BYTES];

	if (code < 0) {
		hf_cli_dht_end(&l->dht, code, "No node took it: %s.", hf_error_text(code));
		return;
	}
	to_hex(key, l->public_key);
	if (l->dht.cli->json)
		hf_cli_dht_print(json_pack("{s:s, s:I}", "public_key", key, "nodes", (json_int_t)lookup->closest_count));
	else
		puts(key);
	hf_cli_dht_end(&l->dht, HF_OK, "%s", "");
}

static bool take_relays(struct hf_cli *cli, struct hf_dht_lookup *lookup)
{
	struct hf_failure failure = {0};

	for (size_t i = 0; i < cli->option_count; i++) {
		if (strcmp(cli->options[i].name, "relay") != 0)
			continue;
		if (lookup->relay_count == HF_DHT_RECORD_RELAYS_MAX ||
			hf_address_parse(cli->options[i].value, &lookup->relays[lookup->relay_count], &failure) < 0 ||
			!hf_address_is_ipv4(&lookup->relays[lookup->relay_count++])) {
			hf_cli_dht_usage(cli, "--relay is an IPv4 address with a port; there are three at most.");
			return false;
		}
	}
	return true;
}

int hf_cli_dht_announce(struct hf_cli *cli)
{
	struct looking l = {.lookup = {.kind = hf_cli_option(cli, "remove") ? HF_DHT_REMOVE : HF_DHT_ADD, .clear = true, .done = on_announced}};
	if (!take_key(cli, "the TOPIC", l.lookup.target) || !make_keys(cli, l.public_key, l.secret_key) || !take_relays(cli, &l.lookup))
		return HF_CLI_USAGE;
	to_target(cli, l.lookup.target);
	l.lookup.secret_key = l.secret_key;
	int code = run(&l.dht, cli, true, start_lookup);
	hf_dht_lookup_cancel(&l.lookup);
	hf_cli_dht_close(&l.dht);
	hf_wipe(l.secret_key, sizeof l.secret_key);
	return code;
}

/* ---- Put and get ---- */

struct valuing {
	struct hf_cli_dht dht; /* first */
	struct hf_dht_value value;
	int (*start)(struct hf_dht_node *node, struct hf_dht_value *value);
	bool is_mutable;
};

static int start_value(struct hf_cli_dht *dht)
{
	struct valuing *v = (struct valuing *)(void *)dht;

	return v->start(dht->node, &v->value);
}

static void on_put(struct hf_dht_value *value, int code)
{
	struct valuing *v = HF_CONTAINER_OF(value, struct valuing, value);
	char key[HEX_BYTES];

	to_hex(key, v->is_mutable ? value->public_key : value->hash);
	if (code == HF_EDENIED) {
		hf_cli_dht_end(&v->dht, code, "All nodes refused it: %s.", value->value_error == HF_DHT_SEQ_REUSED
			? "another value has that --seq" : value->value_error == HF_DHT_SEQ_TOO_LOW ? "--seq is lower than what is there" : "an error");
	} else if (code < 0) {
		hf_cli_dht_end(&v->dht, code, "No node took it: %s.", hf_error_text(code));
	} else {
		if (v->dht.cli->json)
			hf_cli_dht_print(json_pack("{s:s, s:I}", v->is_mutable ? "public_key" : "hash", key, "nodes", (json_int_t)value->stored_count));
		else
			puts(key);
		hf_cli_dht_end(&v->dht, HF_OK, "%s", "");
	}
}

static bool read_value(struct hf_cli *cli, struct hf_buffer *out)
{
	uint8_t bytes[1024];
	ssize_t length;

	if (cli->argument_count > 0)
		return hf_buffer_append_text(out, cli->arguments[0]) == HF_OK;
	while ((length = read(STDIN_FILENO, bytes, sizeof bytes)) > 0 && out->length <= HF_DHT_VALUE_BYTES_MAX)
		if (hf_buffer_append(out, bytes, (size_t)length) < 0)
			return false;
	return length >= 0;
}

int hf_cli_dht_put(struct hf_cli *cli)
{
	struct valuing v = {.value = {.done = on_put}, .is_mutable = hf_cli_option(cli, "mutable") != NULL};
	struct hf_buffer bytes = {0};
	uint8_t secret_key[HF_SIGN_SECRET_BYTES];
	if (!take_seq(cli, &v.value.seq) || !make_keys(cli, v.value.public_key, secret_key))
		return HF_CLI_USAGE;
	if (!read_value(cli, &bytes) || bytes.length > HF_DHT_VALUE_BYTES_MAX) {
		hf_buffer_free(&bytes);
		return hf_cli_dht_usage(cli, "the value has to be read, and has at most 1000 bytes.");
	}
	v.value.value = hf_buffer_slice(&bytes);
	v.value.secret_key = secret_key;
	v.start = v.is_mutable ? hf_dht_mutable_put : hf_dht_immutable_put;
	int code = run(&v.dht, cli, true, start_value);
	hf_dht_value_free(&v.value);
	hf_cli_dht_close(&v.dht);
	hf_buffer_free(&bytes);
	hf_wipe(secret_key, sizeof secret_key);
	return code;
}

static void on_got(struct hf_dht_value *value, int code)
{
	struct valuing *v = HF_CONTAINER_OF(value, struct valuing, value);
	char text[2 * HF_DHT_DATAGRAM_BYTES_MAX];

	if (code < 0) {
		hf_cli_dht_end(&v->dht, code, "%s", code == HF_ENOTFOUND ? "Nobody has it." : hf_error_text(code));
		return;
	}
	if (!v->dht.cli->json) {
		fwrite(value->found.data, 1, value->found.length, stdout);
	} else {
		size_t length = hf_base64_encode(text, value->found.data, value->found.length);
		json_t *object = json_pack("{s:s#}", "value", text, (int)length);
		if (v->is_mutable)
			json_object_set_new(object, "seq", json_integer((json_int_t)value->found_seq));
		hf_cli_dht_print(object);
	}
	hf_cli_dht_end(&v->dht, HF_OK, "%s", "");
}

int hf_cli_dht_get(struct hf_cli *cli)
{
	struct valuing v = {.value = {.done = on_got}, .is_mutable = hf_cli_option(cli, "mutable") != NULL};
	if (!take_key(cli, "the KEY", v.is_mutable ? v.value.public_key : v.value.hash) || !take_seq(cli, &v.value.seq))
		return HF_CLI_USAGE;
	v.start = v.is_mutable ? hf_dht_mutable_get : hf_dht_immutable_get;
	int code = run(&v.dht, cli, true, start_value);
	hf_dht_value_free(&v.value);
	hf_cli_dht_close(&v.dht);
	return code;
}

/* ---- Ping and stats ---- */

struct pinging {
	struct hf_cli_dht dht; /* first */
	struct hf_dht_request request;
	struct hf_address to;
};

static void on_pong(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct pinging *p = HF_CONTAINER_OF(request, struct pinging, request);
	char from[HF_ADDRESS_TEXT_BYTES], to[HF_ADDRESS_TEXT_BYTES];

	if (code < 0) {
		hf_cli_dht_end(&p->dht, code, "There is no answer from %s.", hf_address_text(&request->to, true, from));
		return;
	}
	if (p->dht.cli->json)
		hf_cli_dht_print(json_pack("{s:o, s:o, s:b, s:I}", "from", hf_cli_dht_address(&reply->from), "to", hf_cli_dht_address(&reply->to),
			"persistent", reply->id != NULL, "rtt_ms", (json_int_t)reply->rtt_ms));
	else
		printf("answer from %s in %u ms; it sees us as %s%s\n", hf_address_text(&reply->from, true, from), reply->rtt_ms,
			hf_address_text(&reply->to, true, to), reply->id ? "; persistent" : "");
	hf_cli_dht_end(&p->dht, HF_OK, "%s", "");
}

static int start_ping(struct hf_cli_dht *dht)
{
	struct pinging *p = (struct pinging *)(void *)dht;

	p->request.to = p->to;
	p->request.done = on_pong;
	return hf_dht_ping(dht->node, &p->request, &p->to, NULL);
}

int hf_cli_dht_ping(struct hf_cli *cli)
{
	struct pinging p = {.to = {.port = 0}};
	struct hf_failure failure = {0};
	if (cli->argument_count == 0 || hf_address_parse(cli->arguments[0], &p.to, &failure) < 0 || !hf_address_is_ipv4(&p.to) || p.to.port == 0)
		return hf_cli_dht_usage(cli, "give the node as an IPv4 address with a port.");
	int code = run(&p.dht, cli, false, start_ping);
	hf_dht_request_cancel(&p.request);
	hf_cli_dht_close(&p.dht);
	return code;
}

static void on_joined(void *context, struct hf_dht_node *node)
{
	struct hf_cli_dht *dht = context;
	json_t *facts, *value;
	const char *key;

	if (dht->code != HF_ECANCELED) /* it has ended already */
		return;
	facts = hf_cli_dht_describe(node);
	if (dht->cli->json) {
		hf_cli_dht_print(facts);
	} else {
		json_object_foreach(facts, key, value) {
			char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
			printf("%-14s %s\n", key, text ? text : "");
			free(text);
		}
		json_decref(facts);
	}
	hf_cli_dht_end(dht, HF_OK, "%s", "");
}

int hf_cli_dht_stats(struct hf_cli *cli)
{
	static const struct hf_dht_node_events events = {.bootstrapped = on_joined};
	struct hf_cli_dht dht;
	struct hf_dht_node_options options = {.role = HF_DHT_EPHEMERAL, .events = &events, .context = &dht};
	int code = hf_cli_dht_open(&dht, cli, true);
	if (code == HF_CLI_OK)
		code = hf_cli_dht_start(&dht, &options);
	if (code == HF_CLI_OK)
		code = hf_cli_dht_run(&dht);
	hf_cli_dht_close(&dht);
	return code;
}
