/* A node of HyperDHT with servers and dials, told what to do by test/interop/lib/peer_driver.mjs: one JSON object a line in, one out. */
#include <jansson.h>
#include <stdlib.h>
#include <unistd.h>

#include "codec/hex.h"
#include "crypto/hash.h"
#include "peer/connector.h"
#include "peer/relay_server.h"
#include "driver.h"

#define SERVERS_MAX 8
#define PEERS_MAX 8192
#define BOOTSTRAP_MAX 16
#define BLOCK_BYTES 65536u

struct peer {
	struct hf_dht_dial *dial;
	struct hf_peer_socket *socket;
	struct hf_channel *channel;
	bool is_used, is_opened, is_closed, is_failed, echoes;
	int code;
	const char *error;
	char why[HF_FAILURE_TEXT_BYTES], key[2 * HF_SIGN_PUBLIC_BYTES + 1];
	uint64_t began_ms, connected_ms, opened_ms;
	uint64_t received_bytes, received_count, to_generate;
	uint32_t random;
	struct hf_sha256 hash;
	json_t *datagrams;
};
struct server {
	struct hf_dht_server *server;
	bool echoes, is_listening, is_closed, refuses;
	size_t relay_count;
	unsigned connections, refused;
	uint8_t secret[HF_SIGN_SECRET_BYTES];
};

static struct hf_env env;
static struct hf_loop *loop;
static struct hf_udx_net *net;
static struct hf_dht_node *node;
static struct hf_dht_connector *connector;
static struct server servers[SERVERS_MAX];
static struct peer peers[PEERS_MAX];
static struct hf_relay_server *relay_server;
static bool is_bootstrapped, is_relaying;

static uint64_t now_ms(void)
{
	return hf_env_monotonic_ms(&env);
}

static bool is_set(const json_t *command, const char *name)
{
	return json_is_true(json_object_get(command, name));
}

static bool key_of(const json_t *command, const char *name, uint8_t out[static 32])
{
	const char *text = json_string_value(json_object_get(command, name));
	return text && strlen(text) == 64 && hf_hex_decode(out, text, 32);
}

static size_t addresses_of(const json_t *command, const char *name, struct hf_address *out, size_t count_max)
{
	const json_t *item;
	size_t i, count = 0;
	json_array_foreach(json_object_get(command, name), i, item)
		if (count < count_max && hf_address_parse(json_string_value(item), &out[count], NULL) == HF_OK)
			count++;
	return count;
}

static void secret_of(const json_t *command, uint8_t secret[static HF_SIGN_SECRET_BYTES])
{
	uint8_t seed[32], public_key[HF_SIGN_PUBLIC_BYTES];
	if (key_of(command, "seed", seed))
		hf_sign_keypair_from_seed(public_key, secret, seed);
	else
		hf_sign_keypair_generate(public_key, secret, &env);
}

static json_t *hex(const uint8_t *bytes, size_t length)
{
	char *text = malloc(2 * length + 1);
	if (!text)
		driver_die("out of memory");
	hf_hex_encode(text, bytes, length);
	json_t *value = json_stringn(text, 2 * length);
	free(text);
	return value;
}

static json_t *address(const struct hf_address *value)
{
	char text[HF_ADDRESS_TEXT_BYTES];
	return json_string(hf_address_text(value, true, text));
}

/* ---- Channels ---- */

static uint32_t next_word(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

static int say(struct peer *p, const void *data, size_t length)
{
	struct iovec part = {(void *)(uintptr_t)data, length};
	return p->channel ? hf_channel_send(p->channel, 0, &part, 1) : HF_ECLOSED;
}

static void generate(struct peer *p)
{
	static uint32_t block[BLOCK_BYTES / 4];
	while (p->to_generate > 0 && p->channel && !hf_protomux_is_congested(hf_channel_mux(p->channel))) {
		size_t length = p->to_generate < BLOCK_BYTES ? (size_t)p->to_generate : BLOCK_BYTES;
		for (size_t i = 0; i < (length + 3) / 4; i++)
			block[i] = next_word(&p->random);
		if (say(p, block, length))
			return;
		p->to_generate -= length;
	}
}

static int on_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct peer *p = context;
	p->received_bytes += body.length;
	p->received_count++;
	hf_sha256_update(&p->hash, body.data, body.length);
	if (p->echoes)
		say(p, body.data, body.length);
	return HF_OK;
}

static void on_channel_close(struct hf_channel *channel, void *context, enum hf_channel_end end)
{
	((struct peer *)context)->channel = NULL;
}

static void on_drain(struct hf_channel *channel, void *context)
{
	generate(context);
}

static const struct hf_channel_events channel_events = {
	.message_types = 1, .message = on_message, .close = on_channel_close, .drain = on_drain};

/* ---- Sockets ---- */

static void note_key(struct peer *p)
{
	hf_hex_encode(p->key, hf_peer_socket_remote_key(p->socket), HF_SIGN_PUBLIC_BYTES);
}

static void on_opened(void *context, struct hf_peer_socket *socket)
{
	struct peer *p = context;
	struct hf_channel_options options = {.protocol = HF_SLICE_LITERAL("test"), .events = &channel_events, .context = p};
	p->is_opened = true;
	p->opened_ms = now_ms();
	if (hf_protomux_open(hf_peer_socket_mux(socket), &options, &p->channel))
		driver_die("no channel");
	generate(p);
}

static void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct peer *p = context;
	p->is_closed = true;
	p->code = code;
	p->socket = NULL;
	snprintf(p->why, sizeof p->why, "%s", why);
}

static void on_datagram(void *context, struct hf_peer_socket *socket, struct hf_slice datagram)
{
	struct peer *p = context;
	if (json_array_size(p->datagrams) < 1000)
		json_array_append_new(p->datagrams, hex(datagram.data, datagram.length));
	if (p->echoes)
		hf_peer_socket_send_datagram(socket, datagram);
}

static const struct hf_peer_socket_events socket_events = {.opened = on_opened, .closed = on_closed, .datagram = on_datagram};

static void begin_peer(struct peer *p)
{
	if (p->dial)
		hf_dht_dial_cancel(p->dial);
	hf_peer_socket_free(p->socket);
	json_decref(p->datagrams);
	*p = (struct peer){.is_used = true, .began_ms = now_ms(), .datagrams = json_array()};
	hf_sha256_init(&p->hash);
}

static struct peer *free_peer(void)
{
	for (size_t i = PEERS_MAX / 2; i < PEERS_MAX; i++)
		if (!peers[i].is_used)
			return &peers[i];
	driver_die("too many peers");
	return NULL;
}

/* ---- Dials and servers ---- */

static void on_connected(void *context, struct hf_dht_dial *dial, struct hf_peer_socket *socket)
{
	struct peer *p = context;
	p->dial = NULL;
	p->socket = socket;
	p->connected_ms = now_ms();
	note_key(p);
}

static void on_failed(void *context, struct hf_dht_dial *dial, const struct hf_dht_dial_failure *failure)
{
	struct peer *p = context;
	p->dial = NULL;
	p->is_failed = true;
	p->code = failure->code;
	p->error = hf_dht_connect_error_name(failure->error);
	p->connected_ms = now_ms();
	snprintf(p->why, sizeof p->why, "%s", failure->why);
}

static const struct hf_dht_dial_events dial_events = {.connected = on_connected, .failed = on_failed};

static bool on_firewall(void *context, struct hf_dht_server *server, const uint8_t remote_key[static 32], const struct hf_address *from)
{
	struct server *s = context;
	s->refused += s->refuses;
	return s->refuses;
}

static void on_connection(void *context, struct hf_dht_server *server, struct hf_peer_socket *socket)
{
	struct server *s = context;
	struct peer *p = free_peer();
	begin_peer(p);
	p->socket = socket;
	p->echoes = s->echoes;
	p->connected_ms = now_ms();
	note_key(p);
	hf_peer_socket_set_context(socket, p);
	s->connections++;
}

static void on_listening(void *context, struct hf_dht_server *server, size_t relay_count)
{
	struct server *s = context;
	s->is_listening = true;
	s->relay_count = relay_count;
}

static void on_server_closed(void *context, struct hf_dht_server *server)
{
	struct server *s = context;
	s->server = NULL;
	s->is_closed = true;
}

static const struct hf_dht_server_events server_events = {
	.firewall = on_firewall, .connection = on_connection, .listening = on_listening, .closed = on_server_closed};

static void on_bootstrapped(void *context, struct hf_dht_node *started)
{
	is_bootstrapped = true;
}

static const struct hf_dht_node_events node_events = {.bootstrapped = on_bootstrapped};

/* ---- Commands ---- */

static int do_start(struct peer *p, const json_t *command, json_t *answer)
{
	struct hf_address bootstrap[BOOTSTRAP_MAX], local[4];
	struct hf_failure failure = {0};
	struct hf_dht_node_options options = {.size = sizeof options, .net = net, .only_port = true, .bootstrap = bootstrap,
		.role = (enum hf_dht_role)driver_number(command, "role"), .is_open = is_set(command, "open"), .events = &node_events};
	struct hf_dht_connector_options with = {.size = sizeof with, .loop = loop, .local_addresses = local,
		.random_punch_gap_ms = (uint32_t)driver_number(command, "gap")};
	const char *bind = json_string_value(json_object_get(command, "bind"));
	const char *public = json_string_value(json_object_get(command, "address"));
	options.bootstrap_count = addresses_of(command, "bootstrap", bootstrap, BOOTSTRAP_MAX);
	with.local_address_count = addresses_of(command, "local", local, 4);
	hf_address_parse(bind ? bind : "127.0.0.1:0", &options.bind, NULL);
	if (public)
		hf_address_parse(public, &options.address, NULL);
	int code = hf_dht_node_new(&node, &options, &failure);
	with.node = node;
	if (!code)
		code = hf_dht_connector_new(&connector, &with, &failure);
	if (code) {
		json_object_set_new(answer, "why", json_string(failure.text));
		return code;
	}
	json_object_set_new(answer, "address", address(hf_udx_socket_address(hf_dht_node_server_socket(node))));
	return HF_OK;
}

static int do_node(struct peer *p, const json_t *command, json_t *answer)
{
	struct hf_dht_node_state state;
	struct hf_dht_connector_stats stats;
	hf_dht_node_read_state(node, &state);
	hf_dht_connector_read_stats(connector, &stats);
	json_object_set_new(answer, "bootstrapped", json_boolean(is_bootstrapped));
	json_object_set_new(answer, "firewalled", json_boolean(state.is_firewalled));
	json_object_set_new(answer, "persistent", json_boolean(state.is_persistent));
	json_object_set_new(answer, "public", address(&state.seen));
	const struct {
		const char *name;
		uint64_t value;
	} figures[] = {{"open", stats.ways_open}, {"local", stats.ways_local}, {"punched", stats.ways_punched},
		{"relayed", stats.ways_relayed}, {"upgrades", stats.upgrades}, {"handshakes", stats.handshakes},
		{"repeated", stats.handshakes_repeated}, {"forged", stats.handshakes_forged}, {"refused", stats.handshakes_refused},
		{"sockets", stats.socket_count}, {"dials", stats.dial_count}, {"handshake_count", stats.handshake_count},
		{"random", stats.punches_random}, {"consistent", stats.punches_consistent}, {"later", stats.punches_later}};
	for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
		json_object_set_new(answer, figures[i].name, json_integer((json_int_t)figures[i].value));
	return HF_OK;
}

static int do_listen(struct peer *p, const json_t *command, json_t *answer)
{
	struct server *s = &servers[driver_number(command, "server") % SERVERS_MAX];
	uint8_t relay[32];
	struct hf_dht_server_options options = {.size = sizeof options, .secret_key = s->secret, .events = &server_events, .context = s,
		.no_local = is_set(command, "no_local"), .no_punch = is_set(command, "no_punch"),
		.relay_through = key_of(command, "relay", relay) ? relay : NULL, .socket = {.events = &socket_events}};
	*s = (struct server){.echoes = is_set(command, "echo"), .refuses = is_set(command, "refuse")};
	secret_of(command, s->secret);
	int code = hf_dht_server_listen(&s->server, connector, &options, NULL);
	if (!code)
		json_object_set_new(answer, "key", hex(hf_dht_server_public_key(s->server), HF_SIGN_PUBLIC_BYTES));
	return code;
}

static int do_server(struct peer *p, const json_t *command, json_t *answer)
{
	struct server *s = &servers[driver_number(command, "server") % SERVERS_MAX];
	struct hf_address relays[HF_DHT_SERVER_RELAYS_MAX];
	size_t count = s->server ? hf_dht_server_relays(s->server, relays) : 0;
	json_t *list = json_array(), *accepted = json_array();
	for (size_t i = 0; i < count; i++)
		json_array_append_new(list, address(&relays[i]));
	for (size_t i = PEERS_MAX / 2; i < PEERS_MAX && peers[i].is_used; i++)
		json_array_append_new(accepted, json_integer((json_int_t)i));
	json_object_set_new(answer, "relays", list);
	json_object_set_new(answer, "accepted", accepted);
	json_object_set_new(answer, "listening", json_boolean(s->is_listening));
	json_object_set_new(answer, "closed", json_boolean(s->is_closed));
	json_object_set_new(answer, "connections", json_integer(s->connections));
	json_object_set_new(answer, "refused", json_integer(s->refused));
	return HF_OK;
}

static int do_close_server(struct peer *p, const json_t *command, json_t *answer)
{
	hf_dht_server_close(servers[driver_number(command, "server") % SERVERS_MAX].server);
	return HF_OK;
}

static int do_suspend_server(struct peer *p, const json_t *command, json_t *answer)
{
	struct server *s = &servers[driver_number(command, "server") % SERVERS_MAX];
	s->is_listening = false;
	if (is_set(command, "resume"))
		hf_dht_server_resume(s->server);
	else
		hf_dht_server_suspend(s->server);
	return HF_OK;
}

static int do_dial(struct peer *p, const json_t *command, json_t *answer)
{
	uint8_t key[32], relay[32], secret[HF_SIGN_SECRET_BYTES];
	struct hf_address relays[HF_DHT_DIAL_RELAYS_MAX];
	struct hf_dht_dial_options options = {.size = sizeof options, .public_key = key, .secret_key = secret, .relays = relays,
		.relay_through = key_of(command, "relay", relay) ? relay : NULL, .no_local = is_set(command, "no_local"),
		.socket = {.events = &socket_events, .context = p}, .events = &dial_events, .context = p};
	options.relay_count = addresses_of(command, "relays", relays, HF_DHT_DIAL_RELAYS_MAX);
	begin_peer(p);
	p->echoes = is_set(command, "echo");
	secret_of(command, secret);
	if (!key_of(command, "key", key))
		return HF_EINVAL;
	return hf_dht_dial(&p->dial, connector, &options);
}

static int do_cancel(struct peer *p, const json_t *command, json_t *answer)
{
	hf_dht_dial_cancel(p->dial);
	p->dial = NULL;
	return HF_OK;
}

static int do_peer(struct peer *p, const json_t *command, json_t *answer)
{
	struct hf_sha256 hash = p->hash;
	uint8_t digest[HF_SHA256_BYTES];
	hf_sha256_final(&hash, digest);
	json_object_set_new(answer, "state", json_string(!p->is_used ? "none" : p->is_closed ? "closed" : p->is_failed ? "failed"
		: p->is_opened ? "open" : p->socket ? "connected" : "dialling"));
	json_object_set_new(answer, "opened", json_boolean(p->is_opened));
	json_object_set_new(answer, "received", json_integer((json_int_t)p->received_bytes));
	json_object_set_new(answer, "count", json_integer((json_int_t)p->received_count));
	json_object_set_new(answer, "hash", hex(digest, sizeof digest));
	json_object_set_new(answer, "code", json_string(hf_error_name(p->code)));
	json_object_set_new(answer, "name", p->error ? json_string(p->error) : json_null());
	json_object_set_new(answer, "why", json_string(p->why));
	json_object_set_new(answer, "key", json_string(p->key));
	json_object_set(answer, "datagrams", p->datagrams);
	json_object_set_new(answer, "connect_ms", json_integer((json_int_t)(p->connected_ms - p->began_ms)));
	json_object_set_new(answer, "open_ms", json_integer(p->opened_ms ? (json_int_t)(p->opened_ms - p->began_ms) : -1));
	if (p->socket) {
		json_object_set_new(answer, "address", address(hf_peer_socket_address(p->socket)));
		json_object_set_new(answer, "pending", json_integer((json_int_t)hf_peer_socket_pending_bytes(p->socket)));
	}
	return HF_OK;
}

static int do_send(struct peer *p, const json_t *command, json_t *answer)
{
	const char *text = json_string_value(json_object_get(command, "hex"));
	uint8_t data[4096];
	size_t length = strlen(text) / 2;
	if (length > sizeof data || !hf_hex_decode(data, text, length))
		return HF_EINVAL;
	if (is_set(command, "datagram"))
		return p->socket ? hf_peer_socket_send_datagram(p->socket, hf_slice(data, length)) : HF_ECLOSED;
	return say(p, data, length);
}

static int do_generate(struct peer *p, const json_t *command, json_t *answer)
{
	p->to_generate = driver_number(command, "bytes");
	p->random = (uint32_t)driver_number(command, "seed");
	generate(p);
	return HF_OK;
}

static int do_close(struct peer *p, const json_t *command, json_t *answer)
{
	if (!p->socket)
		return HF_ECLOSED;
	if (is_set(command, "destroy"))
		hf_peer_socket_fail(p->socket, HF_ECANCELED, "The test has destroyed it.");
	else
		hf_peer_socket_close(p->socket);
	return HF_OK;
}

static void on_relaying(void *context, struct hf_relay_server *server, size_t relay_count)
{
	is_relaying = true;
}

static int do_relay(struct peer *p, const json_t *command, json_t *answer)
{
	uint8_t secret[HF_SIGN_SECRET_BYTES];
	struct hf_relay_server_options options = {.size = sizeof options, .secret_key = secret, .listening = on_relaying,
		.limits = {.session_count_max = (uint32_t)driver_number(command, "sessions"),
			.pair_count_max = (uint32_t)driver_number(command, "pairs")}};
	secret_of(command, secret);
	int code = hf_relay_server_new(&relay_server, connector, &options, NULL);
	if (!code)
		json_object_set_new(answer, "key", hex(hf_relay_server_public_key(relay_server), HF_SIGN_PUBLIC_BYTES));
	return code;
}

static int do_relay_stats(struct peer *p, const json_t *command, json_t *answer)
{
	struct hf_blind_relay_stats stats;
	hf_relay_server_read_stats(relay_server, &stats);
	json_object_set_new(answer, "listening", json_boolean(is_relaying));
	json_object_set_new(answer, "sessions", json_integer((json_int_t)stats.session_count));
	json_object_set_new(answer, "joined", json_integer((json_int_t)stats.pairs_joined));
	json_object_set_new(answer, "now", json_integer((json_int_t)stats.joined_count));
	json_object_set_new(answer, "waiting", json_integer((json_int_t)stats.waiting_count));
	json_object_set_new(answer, "refused", json_integer((json_int_t)(stats.pairs_refused + stats.sessions_refused)));
	return HF_OK;
}

static const struct {
	const char *name;
	int (*run)(struct peer *p, const json_t *command, json_t *answer);
} commands[] = {
	{"start", do_start},
	{"node", do_node},
	{"listen", do_listen},
	{"server", do_server},
	{"close_server", do_close_server},
	{"suspend_server", do_suspend_server},
	{"dial", do_dial},
	{"cancel", do_cancel},
	{"peer", do_peer},
	{"send", do_send},
	{"generate", do_generate},
	{"close", do_close},
	{"relay", do_relay},
	{"relay_stats", do_relay_stats},
};

static int perform(const char *name, const json_t *command, json_t *answer)
{
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(commands[i].name, name) == 0)
			return commands[i].run(&peers[driver_number(command, "peer") % PEERS_MAX], command, answer);
	return HF_ENOTFOUND;
}

int main(void)
{
	hf_env_system(&env);
	if (hf_crypto_init() || hf_loop_new(&loop, &env) || hf_udx_net_new(&net, hf_udp_host_of_loop(loop), NULL))
		driver_die("cannot start");
	driver_run(loop, perform);
	for (size_t i = 0; i < PEERS_MAX; i++) {
		hf_dht_dial_cancel(peers[i].dial);
		hf_peer_socket_free(peers[i].socket);
		json_decref(peers[i].datagrams);
	}
	hf_relay_server_free(relay_server);
	hf_dht_connector_free(connector);
	hf_dht_node_free(node);
	hf_udx_net_free(net);
	hf_loop_free(loop);
	return 0;
}
