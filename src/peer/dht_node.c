/* The node as a whole: its sockets, its beginning and end, and what it tells of itself. */
#include "peer/dht_node_private.h"

#include <stdlib.h>

#define SAVED_VERSION 1

/* ---- Telling ---- */

static void on_deferred(struct hf_loop_deferred *deferred)
{
	struct hf_dht_node *node = HF_CONTAINER_OF(deferred, struct hf_dht_node, deferred);
	unsigned events = node->pending_events;
	bool is_freed = false, *outer = node->is_freed;
	const struct {
		enum hf_dht_event event;
		void (*tell)(void *context, struct hf_dht_node *node);
	} all[] = {
		{HF_DHT_EVENT_WOKE, node->events->woke},
		{HF_DHT_EVENT_BOOTSTRAPPED, node->events->bootstrapped},
		{HF_DHT_EVENT_CHANGED, node->events->changed},
	};

	node->pending_events = 0;
	node->is_freed = &is_freed;
	for (size_t i = 0; i < sizeof all / sizeof *all && !is_freed; i++)
		if ((events & all[i].event) && all[i].tell)
			all[i].tell(node->context, node);
	if (!is_freed)
		node->is_freed = outer;
	else if (outer)
		*outer = true;
}

void hf_dht_node_tell(struct hf_dht_node *node, enum hf_dht_event event)
{
	node->pending_events |= event;
	hf_udp_defer(node->host, &node->deferred);
}

/* ---- Sockets ---- */

static void on_datagram(void *context, struct hf_udx_socket *socket, const struct hf_address *from, uint8_t *data, size_t length)
{
	struct hf_dht_node *node = context;

	if (length == 1) {
		if (node->events->probe)
			node->events->probe(node->context, node, socket, from);
		return;
	}
	hf_dht_node_receive(node, socket, from, data, length);
}

static const struct hf_udx_socket_events socket_events = {.datagram = on_datagram};

bool hf_dht_node_send(
	struct hf_dht_node *node, struct hf_udx_socket *socket, const struct hf_address *to, struct hf_slice bytes, uint8_t ttl)
{
	bool went = hf_udx_socket_send_one(socket, to, bytes, ttl);

	node->stats.sent += went;
	node->stats.unsent += !went;
	return went;
}

static int open_at(struct hf_dht_node *node, struct hf_udx_socket **out, uint16_t port, struct hf_failure *failure)
{
	struct hf_address address = node->bind;

	address.port = port;
	return hf_udx_socket_open(out, node->net, &address, &socket_events, node, failure);
}

/* The port that it had before, the one that it is to have and those behind it, any. */
static int open_server(struct hf_dht_node *node, struct hf_failure *failure)
{
	uint16_t first = node->bind.port ? node->bind.port : HF_DHT_PORT;
	unsigned tries = node->only_port ? node->bind.port != 0 : HF_DHT_PORT_TRIES;
	int r = HF_EADDR;

	if (node->server_port)
		r = open_at(node, &node->server, node->server_port, failure);
	for (unsigned i = 0; r == HF_EADDR && i < tries && first + i <= UINT16_MAX; i++)
		r = open_at(node, &node->server, (uint16_t)(first + i), failure);
	if (r == HF_EADDR && !(node->only_port && node->bind.port != 0))
		r = open_at(node, &node->server, 0, failure);
	return r;
}

static int open_sockets(struct hf_dht_node *node, struct hf_failure *failure)
{
	int r = open_server(node, failure);

	if (r < 0)
		return r;
	r = open_at(node, &node->client, node->client_port, failure);
	if (r < 0 && node->client_port)
		r = open_at(node, &node->client, 0, failure);
	if (r < 0) {
		hf_udx_socket_close(node->server);
		node->server = NULL;
		return r;
	}
	node->server_port = hf_udx_socket_address(node->server)->port;
	node->client_port = hf_udx_socket_address(node->client)->port;
	return HF_OK;
}

static void close_sockets(struct hf_dht_node *node)
{
	hf_udx_socket_close(node->server);
	hf_udx_socket_close(node->client);
	node->server = node->client = NULL;
}

void hf_dht_node_forget_socket(struct hf_dht_node *node, struct hf_udx_socket *socket)
{
	hf_dht_node_drop_delayed_pings(node, socket);
	hf_dht_node_fail_requests(node, socket, HF_ECLOSED);
}

/* ---- Beginning ---- */

static bool are_nodes(const struct hf_address *addresses, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (!hf_address_is_ipv4(&addresses[i]) || addresses[i].port == 0)
			return false;
	return true;
}

static int check_options(const struct hf_dht_node_options *options, struct hf_failure *failure)
{
	static const struct hf_address unset;

	if (!hf_address_is_ipv4(&options->bind) && memcmp(options->bind.ip, unset.ip, sizeof unset.ip) != 0)
		return hf_fail(failure, HF_EINVAL, "A node of the DHT binds to an IPv4 address.");
	if (options->bootstrap_count > HF_DHT_BOOTSTRAP_COUNT_MAX)
		return hf_fail(failure, HF_EINVAL, "There are more than %u bootstrap nodes.", HF_DHT_BOOTSTRAP_COUNT_MAX);
	if (!are_nodes(options->bootstrap, options->bootstrap_count))
		return hf_fail(failure, HF_EINVAL, "A bootstrap node is an IPv4 address with a port.");
	if (options->role == HF_DHT_BOOTSTRAPPER && !hf_address_is_ipv4(&options->address))
		return hf_fail(failure, HF_EINVAL, "The first node of a network has to know its own IPv4 address.");
	return HF_OK;
}

static const struct hf_dht_node_events no_events;

static void take_options(struct hf_dht_node *node, const struct hf_dht_node_options *options)
{
	static const struct hf_address unset;
	static const uint8_t any[4];

	node->net = options->net;
	node->host = hf_udx_net_host(options->net);
	node->env = node->host->env;
	node->events = options->events ? options->events : &no_events;
	node->context = options->context;
	node->bind = options->bind;
	if (memcmp(options->bind.ip, unset.ip, sizeof unset.ip) == 0)
		node->bind = hf_dht_address(any, options->bind.port);
	node->own_address = options->address;
	node->only_port = options->only_port;
	node->role = options->role;
	node->rate_per_s = options->rate_per_s ? options->rate_per_s : HF_DHT_RATE_PER_S;
	node->record_count_max = options->record_count_max ? options->record_count_max : HF_DHT_RECORD_COUNT_MAX;
	node->bootstrap_count = options->bootstrap_count;
	for (size_t i = 0; i < options->bootstrap_count; i++)
		node->bootstrap[i] = options->bootstrap[i];
	node->bootstrap_is_pending = options->bootstrap_is_pending;
	node->is_ephemeral = node->is_online = true;
	node->is_firewalled = !options->is_open && options->role != HF_DHT_BOOTSTRAPPER;
}

static void init_random(struct hf_dht_node *node)
{
	struct {
		uint8_t id[HF_DHT_ID_BYTES], secrets[64];
		uint64_t servers, rate;
	} random;

	node->env->random(node->env, &random, sizeof random);
	hf_dht_table_init(&node->table, random.id);
	hf_dht_tokens_init(&node->tokens, random.secrets);
	hf_map_init(&node->local_servers, random.servers);
	node->rate.seed = node->unproven.seed = random.rate;
	node->token_ms = hf_udp_now_ms(node->host);
	hf_nat_sampler_init(&node->nat);
	/* Ticks of different nodes do not fall together. */
	node->tick = 100 - hf_dht_node_random_below(node, 50);
	node->down_hints_left = HF_DHT_DOWN_HINTS_PER_TICK;
}

static void restore(struct hf_dht_node *node, struct hf_slice saved)
{
	struct hf_compact_reader in = hf_compact_reader(saved);
	struct hf_address addresses[HF_DHT_SAVED_NODES_MAX];
	size_t count;

	if (hf_compact_read_uint(&in) != SAVED_VERSION)
		return;
	count = hf_compact_read_count(&in, HF_DHT_SAVED_NODES_MAX, HF_DHT_ADDRESS_BYTES);
	for (size_t i = 0; i < count; i++)
		addresses[i] = hf_dht_read_address(&in);
	for (size_t i = in.status == HF_OK ? count : 0; i-- > 0;)
		hf_dht_node_add(node, &addresses[i]);
}

static void sample_own_address(struct hf_dht_node *node)
{
	struct hf_address address = node->own_address;

	if (node->role != HF_DHT_BOOTSTRAPPER)
		return;
	if (address.port == 0)
		address.port = hf_udx_socket_address(node->server)->port;
	hf_dht_node_sample(node, &address);
}

int hf_dht_node_new(struct hf_dht_node **out, const struct hf_dht_node_options *options, struct hf_failure *failure)
{
	struct hf_dht_node *node;
	int r = check_options(options, failure);

	*out = NULL;
	if (r < 0)
		return r;
	node = calloc(1, sizeof *node);
	if (!node)
		return hf_fail(failure, HF_ENOMEM, "Out of memory.");
	take_options(node, options);
	init_random(node);
	node->deferred.run = on_deferred;
	hf_dht_node_init_requests(node);
	r = open_sockets(node, failure);
	if (r < 0) {
		hf_dht_node_free(node);
		return r;
	}
	restore(node, options->saved);
	sample_own_address(node);
	hf_dht_node_start_ticking(node);
	hf_dht_node_bootstrap(node);
	*out = node;
	return HF_OK;
}

/* ---- Ending ---- */

static void drop_chores(struct hf_dht_node *node)
{
	while (node->chores) {
		hf_dht_request_cancel(&node->chores->request);
		hf_dht_chore_free(node->chores);
	}
	node->checks = node->repings = 0;
	node->is_checking = false;
}

void hf_dht_node_free(struct hf_dht_node *node)
{
	if (!node)
		return;
	if (node->is_freed)
		*node->is_freed = true;
	hf_dht_node_drop_queries(node);
	drop_chores(node);
	hf_dht_node_drop_requests(node);
	hf_dht_node_drop_delayed_pings(node, NULL);
	hf_udp_timer_cancel(node->host, &node->ticker);
	hf_udp_cancel_deferred(node->host, &node->deferred);
	close_sockets(node);
	hf_dht_node_free_servers(node);
	hf_dht_record_store_free(node->records);
	hf_dht_table_free(&node->table);
	hf_buffer_free(&node->value);
	hf_buffer_free(&node->datagram);
	free(node);
}

void hf_dht_node_suspend(struct hf_dht_node *node)
{
	if (node->is_suspended)
		return;
	node->is_suspended = true;
	hf_dht_query_cancel(&node->boot_query);
	hf_dht_query_cancel(&node->refresh_query);
	drop_chores(node);
	hf_dht_node_drop_delayed_pings(node, NULL);
	hf_dht_node_fail_requests(node, NULL, HF_ECANCELED);
	hf_udp_timer_cancel(node->host, &node->ticker);
	memset(&node->window.counts, 0, sizeof node->window.counts);
	node->window.total = 0;
	close_sockets(node);
	hf_dht_node_tell(node, HF_DHT_EVENT_CHANGED);
}

int hf_dht_node_resume(struct hf_dht_node *node, struct hf_failure *failure)
{
	if (!node->is_suspended)
		return HF_OK;
	int r = open_sockets(node, failure);
	if (r < 0)
		return r;
	node->is_suspended = false;
	hf_dht_node_woke(node);
	hf_dht_node_start_ticking(node);
	if (node->is_bootstrapped)
		hf_dht_node_refresh(node);
	else
		hf_dht_node_bootstrap(node);
	return HF_OK;
}

int hf_dht_node_set_bootstrap(struct hf_dht_node *node, const struct hf_address *bootstrap, size_t count)
{
	if (count > HF_DHT_BOOTSTRAP_COUNT_MAX || !are_nodes(bootstrap, count))
		return HF_EINVAL;
	node->bootstrap_count = count;
	for (size_t i = 0; i < count; i++)
		node->bootstrap[i] = bootstrap[i];
	node->bootstrap_is_pending = false;
	hf_dht_node_begin_queries(node);
	if (!node->is_suspended && node->table.count == 0) {
		hf_dht_query_cancel(&node->boot_query); /* it asks those of before */
		hf_dht_node_bootstrap(node);
	}
	return HF_OK;
}

int hf_dht_node_make_records(struct hf_dht_node *node)
{
	return node->records ? HF_OK : hf_dht_record_store_new(&node->records, node->record_count_max, node->env);
}

/* ---- What it knows ---- */

struct hf_udx_socket *hf_dht_node_server_socket(const struct hf_dht_node *node)
{
	return node->server;
}

struct hf_udx_socket *hf_dht_node_client_socket(const struct hf_dht_node *node)
{
	return node->client;
}

struct hf_udx_socket *hf_dht_node_socket(const struct hf_dht_node *node)
{
	return node->is_firewalled ? node->client : node->server;
}

struct hf_udx_net *hf_dht_node_net(const struct hf_dht_node *node)
{
	return node->net;
}

void hf_dht_node_read_state(const struct hf_dht_node *node, struct hf_dht_node_state *state)
{
	*state = (struct hf_dht_node_state){
		.is_bootstrapped = node->is_bootstrapped,
		.is_persistent = !node->is_ephemeral,
		.is_firewalled = node->is_firewalled,
		.is_suspended = node->is_suspended,
		.is_online = node->is_online,
		.is_degraded = node->is_degraded,
		.has_host = node->nat.has_host,
		.has_port = node->nat.has_host && node->nat.address.port != 0,
		.seen = node->nat.address,
	};
	if (node->server) {
		state->server = *hf_udx_socket_address(node->server);
		state->client = *hf_udx_socket_address(node->client);
	}
	memcpy(state->id, node->table.id, HF_DHT_ID_BYTES);
}

bool hf_dht_node_remote_address(const struct hf_dht_node *node, struct hf_address *address)
{
	if (node->is_firewalled || !node->server || !node->nat.has_host ||
		node->nat.address.port != hf_udx_socket_address(node->server)->port)
		return false;
	*address = node->nat.address;
	return true;
}

size_t hf_dht_node_recent(const struct hf_dht_node *node, struct hf_dht_contact *out, size_t count_max)
{
	size_t count = 0;

	for (const struct hf_dht_entry *entry = node->table.latest; entry && count < count_max; entry = entry->older)
		out[count++] = entry->contact;
	return count;
}

void hf_dht_node_network_changed(struct hf_dht_node *node)
{
	hf_nat_sampler_init(&node->nat);
	node->sampled_count = 0;
	node->has_last_host = false;
	for (struct hf_dht_entry *entry = node->table.oldest; entry; entry = entry->newer)
		entry->sampled_tick = 0;
	sample_own_address(node);
	hf_dht_node_tell(node, HF_DHT_EVENT_CHANGED);
	if (!node->is_suspended && node->is_bootstrapped)
		hf_dht_node_refresh(node);
}

int hf_dht_node_save(const struct hf_dht_node *node, struct hf_buffer *out)
{
	struct hf_compact_writer w = hf_compact_writer(out);
	size_t count = node->table.count < HF_DHT_SAVED_NODES_MAX ? node->table.count : HF_DHT_SAVED_NODES_MAX;

	hf_compact_write_uint(&w, SAVED_VERSION);
	hf_compact_write_uint(&w, count);
	for (const struct hf_dht_entry *entry = node->table.latest; entry && count > 0; entry = entry->older, count--)
		hf_dht_write_address(&w, &entry->contact.address);
	return w.status;
}

void hf_dht_node_read_stats(const struct hf_dht_node *node, struct hf_dht_node_stats *stats)
{
	struct hf_dht_record_store_figures figures = {0};

	*stats = node->stats;
	stats->table_count = node->table.count;
	stats->inflight_count = node->inflight_count;
	stats->waiting_count = node->waiting_count;
	if (node->records)
		hf_dht_record_store_read_figures(node->records, &figures);
	stats->records = figures.records;
	stats->routes = figures.routes;
	stats->mutables = figures.mutables;
	stats->immutables = figures.immutables;
	stats->records_evicted = figures.evicted;
	stats->record_bytes = figures.bytes;
}
