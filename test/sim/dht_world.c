#include "dht_world.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/list.h"

#define BOOTSTRAP_COUNT 3
#define PORT 49737
#define JOIN_EVERY_US 20000          /* while the network comes together */
#define SETTLE_US (60 * 1000000u)
#define LIAR_CLOSER 8                /* nodes that a liar names */

struct world;

/* A machine with a node, honest or lying, or with a peer. */
struct machine {
	struct world *world;
	struct hf_udp_host *host;
	struct hf_udx_net *net;
	struct hf_dht_node *node;
	struct hf_udp *lie; /* a liar's socket */
	struct hf_timer show;
	struct hf_address address;
	uint8_t id[HF_DHT_ID_BYTES];
};
struct topic {
	struct world *world;
	struct machine peer;
	uint8_t id[HF_DHT_ID_BYTES], secret_key[HF_SIGN_SECRET_BYTES];
	struct hf_dht_lookup announce;
	struct hf_timer timer, end;
	bool is_announced;
};
struct seeking {
	struct world *world;
	struct seeking *next, *previous;
	struct hf_dht_lookup lookup;
	struct machine *from;
	const uint8_t *key; /* that should be found */
	uint8_t wanted[HF_SIGN_PUBLIC_BYTES];
	struct topic *topic;
	uint64_t begun_us;
	bool is_found;
};
struct world {
	const struct dht_world_options *options;
	struct dht_world_result *result;
	struct sim_net *net;
	struct machine *bootstrap, *machines;
	unsigned joined;
	struct topic *topics;
	struct seeking *seeking;
	struct hf_address bootstrap_addresses[BOOTSTRAP_COUNT];
	struct hf_timer joining, replacing, looking;
	struct hf_udp_host *clock; /* a machine that only tells the time */
	uint32_t next_ip;
};

/* ---- Machines ---- */

static void set_timer(struct world *w, struct hf_timer *timer, uint64_t delay_us)
{
	int r = hf_udp_timer_set_us(w->clock, timer, delay_us);
	assert(r == HF_OK);
	(void)r;
}

static struct hf_udp_host *new_host(struct world *w)
{
	char ip[32];
	uint32_t n = ++w->next_ip;
	struct sim_link link = {.loss_permille = w->options->loss_permille, .delay_us = 5000 + sim_net_random(w->net, 60000),
		.jitter_us = 5000};
	snprintf(ip, sizeof ip, "%u.%u.%u.%u", 20 + (n >> 24), n >> 16 & 255, n >> 8 & 255, n & 255);
	struct hf_udp_host *host = sim_net_host(w->net, ip);
	sim_net_set_link(host, &link);
	return host;
}

static void open_node(struct machine *m, enum hf_dht_role role)
{
	struct world *w = m->world;
	struct hf_dht_node_options options = {.size = sizeof options, .role = role, .is_open = true, .bootstrap = w->bootstrap_addresses,
		.bootstrap_count = w->bootstrap_addresses[0].port ? BOOTSTRAP_COUNT : 0}; /* the first knows nobody */
	m->host = new_host(w);
	int r = hf_udx_net_new(&m->net, m->host, NULL);
	assert(r == HF_OK);
	options.net = m->net;
	if (role == HF_DHT_BOOTSTRAPPER) {
		char text[HF_ADDRESS_TEXT_BYTES];
		snprintf(text, sizeof text, "20.0.0.%u:0", w->next_ip & 255);
		r = hf_address_parse(text, &options.address, NULL);
		assert(r == HF_OK);
	}
	r = hf_dht_node_new(&m->node, &options, NULL);
	assert(r == HF_OK);
	(void)r;
	m->address = *hf_udx_socket_address(hf_dht_node_server_socket(m->node));
}

static void close_machine(struct machine *m)
{
	hf_dht_node_free(m->node);
	hf_udx_net_free(m->net);
	if (m->lie)
		hf_udp_timer_cancel(m->world->clock, &m->show);
	hf_udp_close(m->lie);
	m->node = NULL;
	m->net = NULL;
	m->lie = NULL;
}

/* ---- Liars ---- */

static struct hf_slice false_friends(struct world *w, uint8_t *out)
{
	for (unsigned i = 0; i < LIAR_CLOSER; i++) {
		uint8_t *at = out + i * HF_DHT_ADDRESS_BYTES;
		struct machine *other = &w->machines[sim_net_random(w->net, w->joined ? w->joined : 1)];
		if (other->lie && sim_net_random(w->net, 2)) {
			memcpy(at, other->address.ip + 12, 4);
			hf_store_le16(at + 4, other->address.port);
			continue;
		}
		hf_store_le32(at, 200 + (sim_net_random(w->net, 1u << 24) << 8)); /* nobody is there */
		hf_store_le16(at + 4, PORT);
	}
	return hf_slice(out, LIAR_CLOSER * HF_DHT_ADDRESS_BYTES);
}

static struct hf_slice false_peer(struct world *w, uint8_t *out)
{
	out[0] = 1;
	for (unsigned i = 0; i < HF_SIGN_PUBLIC_BYTES; i++)
		out[1 + i] = (uint8_t)sim_net_random(w->net, 256);
	out[1 + HF_SIGN_PUBLIC_BYTES] = 0;
	out[2 + HF_SIGN_PUBLIC_BYTES] = 0;
	return hf_slice(out, 3 + HF_SIGN_PUBLIC_BYTES);
}

static void lie_to(void *context, struct hf_udp *udp, const struct hf_udp_datagram *datagrams, size_t count)
{
	struct machine *m = context;
	struct hf_dht_message asked;
	struct hf_buffer out = {0};
	uint8_t closer[LIAR_CLOSER * HF_DHT_ADDRESS_BYTES], peer[64];
	if (count == 0 || hf_dht_message_read(hf_slice(datagrams->data, datagrams->length), &asked) < 0 || asked.is_reply)
		return;
	struct hf_dht_message said = {.is_reply = true, .tid = asked.tid, .to = datagrams->from, .id = m->id};
	if (asked.target)
		said.closer = false_friends(m->world, closer);
	if (!asked.is_internal)
		said.token = m->id;
	if (!asked.is_internal && asked.command == HF_DHT_LOOKUP) {
		said.has_value = true;
		said.value = false_peer(m->world, peer);
	}
	int r = hf_dht_message_write(&said, &out);
	assert(r == HF_OK);
	(void)r;
	struct iovec piece = {out.data, out.length};
	hf_udp_send(udp, &(struct hf_udp_packet){.address = datagrams->from, .pieces = &piece, .piece_count = 1}, 1);
	hf_buffer_free(&out);
}

/* Makes itself known to a few nodes, so that it gets into tables. */
static void on_show(struct hf_timer *timer)
{
	struct machine *m = HF_CONTAINER_OF(timer, struct machine, show);
	struct world *w = m->world;
	struct hf_buffer out = {0};
	for (unsigned i = 0; i < 20; i++) {
		const struct machine *to = i < BOOTSTRAP_COUNT ? &w->bootstrap[i] : &w->machines[sim_net_random(w->net, w->joined ? w->joined : 1)];
		struct hf_dht_message ping = {.tid = (uint16_t)i, .to = to->address, .id = m->id, .is_internal = true};
		hf_buffer_clear(&out);
		if (to->address.port == 0 || hf_dht_message_write(&ping, &out) < 0)
			continue;
		struct iovec piece = {out.data, out.length};
		hf_udp_send(m->lie, &(struct hf_udp_packet){.address = to->address, .pieces = &piece, .piece_count = 1}, 1);
	}
	hf_buffer_free(&out);
}

static void open_liar(struct machine *m)
{
	static const struct hf_udp_events events = {.received = lie_to};
	struct hf_udp_options options = {.address = {.port = PORT}, .events = &events, .context = m};
	m->host = new_host(m->world);
	int r = hf_udp_open(m->host, &m->lie, &options, NULL);
	assert(r == HF_OK);
	(void)r;
	m->address = *hf_udp_address(m->lie);
	hf_dht_id(m->id, &m->address);
	m->show.fire = on_show;
	set_timer(m->world, &m->show, sim_net_random(m->world->net, m->world->options->liar_waits_ms + 1) * 1000ull);
}

/* ---- Coming and going ---- */

static void join(struct world *w, struct machine *m)
{
	m->world = w;
	if (sim_net_random(w->net, 1000) < w->options->liar_permille)
		open_liar(m);
	else
		open_node(m, HF_DHT_PERSISTENT);
}

static void on_join(struct hf_timer *timer)
{
	struct world *w = HF_CONTAINER_OF(timer, struct world, joining);
	join(w, &w->machines[w->joined]);
	w->joined++;
	if (w->joined < w->options->node_count)
		set_timer(w, timer, JOIN_EVERY_US);
}

static void drop_seeking(struct world *w, struct seeking *s)
{
	hf_dht_lookup_cancel(&s->lookup);
	HF_LIST_REMOVE(w->seeking, s);
	free(s);
}

static void on_replace(struct hf_timer *timer)
{
	struct world *w = HF_CONTAINER_OF(timer, struct world, replacing);
	struct machine *m = &w->machines[sim_net_random(w->net, w->options->node_count)];
	for (struct seeking *s = w->seeking, *next; s; s = next) {
		next = s->next;
		if (s->from == m)
			drop_seeking(w, s);
	}
	close_machine(m);
	join(w, m);
	w->result->nodes_replaced++;
	set_timer(w, timer, 3600ull * 1000000 * 1000 / w->options->replaced_permille_per_hour / w->options->node_count);
}

/* ---- Peers ---- */

static void on_announced(struct hf_dht_lookup *lookup, int code)
{
	struct topic *t = HF_CONTAINER_OF(lookup, struct topic, announce);
	if (code == HF_OK)
		t->is_announced = true;
	else
		t->world->result->announces_failed++;
	t->world->result->announces++;
	set_timer(t->world, &t->timer, code == HF_OK ? t->world->options->announce_every_s * 1000000ull : 5000000);
}

static void on_announce(struct hf_timer *timer)
{
	struct topic *t = HF_CONTAINER_OF(timer, struct topic, timer);
	t->announce = (struct hf_dht_lookup){.kind = HF_DHT_ADD, .secret_key = t->secret_key, .done = on_announced};
	memcpy(t->announce.target, t->id, sizeof t->id);
	int r = hf_dht_lookup_start(t->peer.node, &t->announce);
	assert(r == HF_OK);
	(void)r;
}

static void begin_peer(struct topic *t)
{
	struct world *w = t->world;
	uint8_t public_key[HF_SIGN_PUBLIC_BYTES];
	t->peer = (struct machine){.world = w};
	open_node(&t->peer, HF_DHT_EPHEMERAL);
	hf_sign_keypair_generate(public_key, t->secret_key, t->peer.host->env);
	t->is_announced = false;
	set_timer(w, &t->timer, 5000000);
	set_timer(w, &t->end, (w->options->peer_life_s / 2 + sim_net_random(w->net, w->options->peer_life_s)) * 1000000ull);
}

static void end_peer(struct topic *t)
{
	hf_udp_timer_cancel(t->world->clock, &t->timer);
	hf_udp_timer_cancel(t->world->clock, &t->end);
	hf_dht_lookup_cancel(&t->announce);
	close_machine(&t->peer);
}

static void on_end(struct hf_timer *timer)
{
	struct topic *t = HF_CONTAINER_OF(timer, struct topic, end);
	end_peer(t);
	begin_peer(t);
}

/* ---- Lookups ---- */

static void on_peers(struct hf_dht_lookup *lookup, const struct hf_dht_reply *reply, const struct hf_dht_peer *peers, size_t count)
{
	struct seeking *s = HF_CONTAINER_OF(lookup, struct seeking, lookup);
	(void)reply;
	for (size_t i = 0; i < count; i++)
		s->is_found |= memcmp(peers[i].public_key, s->wanted, sizeof s->wanted) == 0;
}

static void on_looked_up(struct hf_dht_lookup *lookup, int code)
{
	struct seeking *s = HF_CONTAINER_OF(lookup, struct seeking, lookup);
	struct dht_world_result *result = s->world->result;
	struct hf_dht_query_figures figures;
	(void)code;
	hf_dht_query_read_figures(&lookup->query, &figures);
	/* A peer that went meanwhile is nobody's fault. */
	if (memcmp(hf_sign_public_key(s->topic->secret_key), s->wanted, sizeof s->wanted) == 0) {
		result->lookups++;
		result->found += s->is_found;
		result->hops_sum += figures.hops;
		result->asked_sum += figures.asked;
		result->hops_max = figures.hops > result->hops_max ? figures.hops : result->hops_max;
		result->asked_max = figures.asked > result->asked_max ? figures.asked : result->asked_max;
		result->latency_ms_sum += (sim_net_now_us(s->world->net) - s->begun_us) / 1000;
	}
	drop_seeking(s->world, s);
}

static void on_look(struct hf_timer *timer)
{
	struct world *w = HF_CONTAINER_OF(timer, struct world, looking);
	struct topic *t = &w->topics[sim_net_random(w->net, w->options->topic_count)];
	struct machine *from = &w->machines[sim_net_random(w->net, w->options->node_count)];
	struct hf_dht_node_state state = {0};
	set_timer(w, timer, w->options->lookup_every_ms * 1000ull);
	if (from->node)
		hf_dht_node_read_state(from->node, &state);
	if (!t->is_announced || !state.is_bootstrapped)
		return;
	struct seeking *s = calloc(1, sizeof *s);
	assert(s);
	s->world = w;
	s->topic = t;
	s->from = from;
	s->begun_us = sim_net_now_us(w->net);
	memcpy(s->wanted, hf_sign_public_key(t->secret_key), sizeof s->wanted);
	s->lookup = (struct hf_dht_lookup){.kind = HF_DHT_LOOK_UP, .peers = on_peers, .done = on_looked_up};
	memcpy(s->lookup.target, t->id, sizeof t->id);
	HF_LIST_PUSH(w->seeking, s);
	int r = hf_dht_lookup_start(from->node, &s->lookup);
	assert(r == HF_OK);
	(void)r;
}

/* ---- The world ---- */

static void begin(struct world *w)
{
	for (unsigned i = 0; i < BOOTSTRAP_COUNT; i++) {
		w->bootstrap[i].world = w;
		open_node(&w->bootstrap[i], HF_DHT_BOOTSTRAPPER);
		for (unsigned k = i; k < BOOTSTRAP_COUNT; k++)
			w->bootstrap_addresses[k] = w->bootstrap[i].address;
	}
	join(w, &w->machines[0]);
	w->joined = 1;
	w->joining.fire = on_join;
	w->replacing.fire = on_replace;
	w->looking.fire = on_look;
	set_timer(w, &w->joining, JOIN_EVERY_US);
	for (unsigned i = 0; i < w->options->topic_count; i++) {
		w->topics[i].world = w;
		w->topics[i].timer.fire = on_announce;
		w->topics[i].end.fire = on_end;
		for (unsigned k = 0; k < HF_DHT_ID_BYTES; k++)
			w->topics[i].id[k] = (uint8_t)sim_net_random(w->net, 256);
	}
}

static void end(struct world *w)
{
	struct sim_counters counters;
	struct hf_dht_node_stats stats;
	while (w->seeking)
		drop_seeking(w, w->seeking);
	for (unsigned i = 0; i < w->options->topic_count; i++)
		end_peer(&w->topics[i]);
	for (unsigned i = 0; i < w->options->node_count; i++) {
		if (w->machines[i].node) {
			hf_dht_node_read_stats(w->machines[i].node, &stats);
			if (stats.record_bytes > w->result->record_bytes_max)
				w->result->record_bytes_max = stats.record_bytes;
		}
		close_machine(&w->machines[i]);
	}
	for (unsigned i = 0; i < BOOTSTRAP_COUNT; i++)
		close_machine(&w->bootstrap[i]);
	sim_net_counters(w->net, &counters);
	w->result->packets = counters.sent;
	w->result->trace = sim_net_trace(w->net);
	sim_net_free(w->net);
	free(w->topics);
	free(w->machines);
	free(w->bootstrap);
}

void dht_world_run(const struct dht_world_options *options, struct dht_world_result *result)
{
	struct world w = {.options = options, .result = result, .net = sim_net_new(options->seed),
		.bootstrap = calloc(BOOTSTRAP_COUNT, sizeof(struct machine)), .machines = calloc(options->node_count, sizeof(struct machine)),
		.topics = calloc(options->topic_count, sizeof(struct topic))};
	uint64_t at_us = (uint64_t)options->node_count * JOIN_EVERY_US + SETTLE_US;
	assert(w.bootstrap && w.machines && w.topics);
	*result = (struct dht_world_result){0};
	w.clock = sim_net_host(w.net, "10.255.255.254");
	begin(&w);
	sim_net_run(w.net, at_us, NULL);
	for (unsigned i = 0; i < options->topic_count; i++)
		begin_peer(&w.topics[i]);
	at_us += SETTLE_US;
	sim_net_run(w.net, at_us, NULL);
	if (options->replaced_permille_per_hour)
		set_timer(&w, &w.replacing, 1);
	set_timer(&w, &w.looking, 1);
	sim_net_run(w.net, at_us + options->minutes * 60 * 1000000, NULL);
	hf_udp_timer_cancel(w.clock, &w.replacing);
	hf_udp_timer_cancel(w.clock, &w.looking);
	hf_udp_timer_cancel(w.clock, &w.joining);
	end(&w);
}
