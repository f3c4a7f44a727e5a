/* What the node is to others: first it looks for its neighbours, then it asks some to answer to its other socket, to see whether it can be
 * reached; once that is so for long enough, it becomes persistent. And the tick that keeps all this going. (spec: swarm, 2.10 and 2.11) */
#include "peer/dht_node_private.h"

uint32_t hf_dht_node_random_below(struct hf_dht_node *node, uint32_t bound)
{
	uint32_t random;

	node->env->random(node->env, &random, sizeof random);
	return bound > 0 ? random % bound : 0;
}

/* ---- Looking around ---- */

static void quiet_done(struct hf_dht_query *query, int code)
{
	(void)query;
	(void)code;
}

static int start_find_node(
	struct hf_dht_node *node, struct hf_dht_query *query, const uint8_t *target, void (*done)(struct hf_dht_query *query, int code))
{
	*query = (struct hf_dht_query){.is_internal = true, .command = HF_DHT_FIND_NODE, .is_background = true, .done = done};
	memcpy(query->target, target, HF_DHT_ID_BYTES);
	return hf_dht_query_start(node, query);
}

void hf_dht_node_refresh(struct hf_dht_node *node)
{
	const struct hf_dht_entry *entry;

	node->refresh_every_ticks *= 2;
	if (node->refresh_every_ticks > HF_DHT_REFRESH_TICKS)
		node->refresh_every_ticks = HF_DHT_REFRESH_TICKS;
	node->refresh_ticks = node->refresh_every_ticks;
	if (hf_dht_query_is_active(&node->refresh_query))
		return;
	entry = hf_dht_table_pick(&node->table, hf_dht_node_random_below(node, UINT32_MAX));
	start_find_node(node, &node->refresh_query, entry ? entry->contact.id : node->table.id, quiet_done);
}

/* ---- Another address ---- */

static bool has_told(const struct hf_dht_node *node, const struct hf_address *from)
{
	for (uint32_t i = 0; i < node->moved_count; i++)
		if (hf_dht_same_host(&node->moved_told_by[i], from))
			return true;
	return false;
}

/* Samples of the address are few and old ones count long. That the router got another one shows in what everybody replies from then on. */
void hf_dht_node_told_address(struct hf_dht_node *node, const struct hf_address *from, const struct hf_address *to)
{
	size_t needed = node->table.count < HF_DHT_MOVED_HOSTS ? node->table.count : HF_DHT_MOVED_HOSTS;

	if (!node->nat.has_host || hf_dht_same_host(to, &node->nat.address)) {
		node->moved_count = 0;
		return;
	}
	if (!hf_dht_same_host(to, &node->moved_to))
		node->moved_count = 0;
	if (has_told(node, from) || (node->moved_tick != 0 && node->tick - node->moved_tick < HF_DHT_MOVED_TICKS))
		return;
	node->moved_to = *to;
	node->moved_told_by[node->moved_count++] = *from;
	if (node->moved_count < needed)
		return;
	node->moved_count = 0;
	node->moved_tick = node->tick;
	hf_dht_node_network_changed(node);
}

/* ---- The check ---- */

static void check_over(struct hf_dht_node *node, bool is_open);

static bool was_seen(const struct hf_dht_node *node, const struct hf_address *host)
{
	for (size_t i = 0; i < node->check_host_count; i++)
		if (hf_dht_same_host(&node->check_hosts[i], host))
			return true;
	return false;
}

void hf_dht_node_seen_on_server(struct hf_dht_node *node, const struct hf_address *from)
{
	if (node->is_checking && node->check_host_count < HF_DHT_FIREWALL_HOSTS_MAX && !was_seen(node, from))
		node->check_hosts[node->check_host_count++] = *from;
}

/* The server socket is reached, at the host that the client socket is seen at and at the port that it is bound to. */
static bool is_reached(const struct hf_dht_node *node)
{
	return node->check_count >= (node->check_asked >= HF_DHT_FIREWALL_ASKED ? 3u : 1u) && node->check_nat.has_host && node->nat.has_host &&
		hf_dht_same_host(&node->check_nat.address, &node->nat.address) &&
		node->check_nat.address.port == hf_udx_socket_address(node->server)->port;
}

static void check_answered(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct hf_dht_chore *chore = HF_CONTAINER_OF(request, struct hf_dht_chore, request);
	struct hf_dht_node *node = chore->node;

	hf_dht_chore_free(chore);
	if (code == HF_OK && was_seen(node, &reply->from)) {
		node->check_count++;
		hf_nat_sampler_add(&node->check_nat, &reply->to);
	}
	if (--node->check_pending == 0)
		check_over(node, code != HF_ECANCELED && is_reached(node));
}

static struct hf_dht_chore *ask_back(struct hf_dht_node *node, const struct hf_address *to)
{
	uint8_t port[2];
	struct hf_dht_chore *chore = hf_dht_chore_new(node, to, HF_DHT_PING_NAT);

	if (!chore)
		return NULL;
	hf_store_le16(port, hf_udx_socket_address(node->server)->port);
	chore->request.has_value = true;
	chore->request.value = hf_slice(port, sizeof port);
	return hf_dht_chore_start(chore) ? chore : NULL;
}

static void ask_to_check(struct hf_dht_node *node, const struct hf_address *to)
{
	struct hf_dht_chore *chore = ask_back(node, to);

	if (!chore)
		return;
	chore->request.done = check_answered;
	node->check_asked++;
	node->check_pending++;
}

/* Returns whether check_over will be called. */
static bool check_firewall(struct hf_dht_node *node)
{
	unsigned count = 0;

	node->check_asked = node->check_pending = node->check_count = 0;
	node->check_host_count = 0;
	hf_nat_sampler_init(&node->check_nat);
	for (struct hf_dht_entry *entry = node->table.latest; entry && count < HF_DHT_FIREWALL_ASKED; entry = entry->older, count++)
		ask_to_check(node, &entry->contact.address);
	for (size_t i = 0; count < HF_DHT_FIREWALL_ASKED && i < node->bootstrap_count; i++, count++)
		ask_to_check(node, &node->bootstrap[i]);
	return node->check_pending > 0;
}

/* ---- Becoming persistent ---- */

static bool forces_persistence(const struct hf_dht_node *node)
{
	return node->role == HF_DHT_PERSISTENT || node->role == HF_DHT_BOOTSTRAPPER;
}

static void boot_checked(struct hf_dht_node *node, bool has_changed);

/* Our id is the hash of our address from now on, even if we do not show it yet. */
static int adopt_id(struct hf_dht_node *node)
{
	uint8_t id[HF_DHT_ID_BYTES];
	int r;

	hf_dht_id(id, &node->nat.address);
	if (memcmp(id, node->table.id, sizeof id) == 0)
		return HF_OK;
	r = hf_dht_table_rekey(&node->table, id);
	if (r == HF_OK && node->is_bootstrapped)
		hf_dht_node_refresh(node);
	return r;
}

/* The bootstrap nodes have seen us without an id so far. Without this they would know those best who have nothing better to do than to
 * make themselves known to them, and those are what they would show to whoever joins. */
static void introduce(struct hf_dht_node *node)
{
	for (size_t i = 0; i < node->bootstrap_count; i++) {
		struct hf_dht_chore *chore = hf_dht_chore_new(node, &node->bootstrap[i], HF_DHT_PING);
		if (chore)
			hf_dht_chore_start(chore);
	}
}

/* Ends a look at the network; is_open: the server socket is reached. Returns whether anything has come of it. */
static bool take_state(struct hf_dht_node *node, bool is_open)
{
	bool is_same = node->is_ephemeral && node->nat.has_host && hf_address_equal(&node->check_before, &node->nat.address);

	if (!is_open)
		return false;
	if (node->is_firewalled) {
		node->is_firewalled = false;
		hf_dht_node_tell(node, HF_DHT_EVENT_CHANGED);
		if (!is_same || !node->check_nat.has_host || node->check_nat.address.port == 0)
			return false;
		node->sampled_count = 0;
		node->nat = node->check_nat;
	} else if (!is_same) {
		return false;
	}
	if (adopt_id(node) < 0 || (!node->check_only_firewall && hf_dht_node_make_records(node) < 0))
		return false;
	node->is_ephemeral = node->check_only_firewall;
	if (!node->is_ephemeral)
		introduce(node);
	hf_dht_node_tell(node, HF_DHT_EVENT_CHANGED);
	return true;
}

static void check_over(struct hf_dht_node *node, bool is_open)
{
	bool has_changed = take_state(node, is_open);

	node->is_checking = false;
	if (node->check_is_of_boot)
		boot_checked(node, has_changed);
}

/* Looks whether the node can be reached, and unless only_firewall makes it persistent if so. */
static void update_state(struct hf_dht_node *node, bool only_firewall, bool is_of_boot)
{
	if (node->is_checking)
		return;
	node->check_is_of_boot = is_of_boot;
	node->check_only_firewall = only_firewall;
	if (!node->is_ephemeral || (only_firewall && !node->is_firewalled)) {
		check_over(node, false);
		return;
	}
	if (!only_firewall) {
		node->stable_ticks = forces_persistence(node) ? HF_DHT_FORCED_TICKS : HF_DHT_MORE_STABLE_TICKS;
		node->has_last_host = node->nat.has_host;
		node->last_host = node->nat.address;
	}
	node->check_before = node->nat.address;
	node->is_checking = true;
	if (!node->nat.has_host || node->nat.address.port == 0)
		check_over(node, false);
	else if (!node->is_firewalled)
		check_over(node, true);
	else if (!check_firewall(node))
		check_over(node, false);
}

/* ---- Bootstrapping ---- */

static void boot_ping_done(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct hf_dht_chore *chore = HF_CONTAINER_OF(request, struct hf_dht_chore, request);

	(void)reply;
	if (code == HF_OK)
		chore->node->boot_tested = true;
	hf_dht_chore_free(chore);
}

/* The first to answer is asked to answer to our server socket: if that comes before all neighbours are found, a check is worth it. */
static void boot_replied(struct hf_dht_query *query, const struct hf_dht_reply *reply)
{
	struct hf_dht_node *node = HF_CONTAINER_OF(query, struct hf_dht_node, boot_query);

	if (node->boot_asked || !node->is_firewalled || forces_persistence(node))
		return;
	node->boot_asked = true;
	struct hf_dht_chore *chore = ask_back(node, &reply->from);
	if (chore)
		chore->request.done = boot_ping_done;
}

static void end_boot(struct hf_dht_node *node)
{
	node->is_bootstrapped = true;
	hf_dht_node_tell(node, HF_DHT_EVENT_BOOTSTRAPPED);
	hf_dht_node_tell(node, HF_DHT_EVENT_CHANGED);
}

static void boot_done(struct hf_dht_query *query, int code)
{
	struct hf_dht_node *node = HF_CONTAINER_OF(query, struct hf_dht_node, boot_query);

	if (code == HF_ECANCELED) /* suspended; resuming begins anew */
		return;
	if (node->boot_round == 2 || (!node->boot_tested && !forces_persistence(node)))
		end_boot(node);
	else
		update_state(node, !forces_persistence(node), true);
}

static void boot(struct hf_dht_node *node)
{
	node->boot_round++;
	if (start_find_node(node, &node->boot_query, node->table.id, boot_done) < 0)
		end_boot(node);
	else
		node->boot_query.reply = boot_replied;
}

static void boot_checked(struct hf_dht_node *node, bool has_changed)
{
	if (node->is_suspended)
		return;
	if (has_changed)
		boot(node);
	else
		end_boot(node);
}

void hf_dht_node_bootstrap(struct hf_dht_node *node)
{
	node->boot_round = 0;
	node->boot_asked = node->boot_tested = node->is_checking = false;
	boot(node);
}

/* ---- Health ---- */

enum { HEALTH_IDLE, HEALTH_GOOD, HEALTH_DEGRADED, HEALTH_OFFLINE };
#define HEALTH_REQUESTS_MIN 4
#define OFFLINE_TICKS 2

static void look_at_health(struct hf_dht_node *node)
{
	uint64_t replies = node->stats.replies - node->replies_before, timeouts = node->stats.timeouts - node->timeouts_before;
	unsigned good = 0, degraded = 0, now = HEALTH_IDLE;
	bool was_online = node->is_online, was_degraded = node->is_degraded;

	/* Silence adds up over ticks until it says something. */
	if (replies > 0 || timeouts >= HEALTH_REQUESTS_MIN) {
		node->replies_before = node->stats.replies;
		node->timeouts_before = node->stats.timeouts;
	}
	if (!was_online && replies > 0)
		now = HEALTH_GOOD; /* there may be few to ask */
	else if (replies + timeouts >= HEALTH_REQUESTS_MIN && node->health_ticks + 1 >= HF_DHT_HEALTH_TICKS)
		now = replies == 0 ? HEALTH_OFFLINE : timeouts > replies ? HEALTH_DEGRADED : HEALTH_GOOD;
	node->health[node->health_ticks++ % HF_DHT_HEALTH_TICKS] = (uint8_t)now;
	if (now == HEALTH_IDLE)
		return;
	node->offline_ticks = now == HEALTH_OFFLINE ? node->offline_ticks + 1 : 0;
	for (unsigned i = 0; i < HF_DHT_HEALTH_TICKS; i++) {
		good += node->health[i] == HEALTH_GOOD;
		degraded += node->health[i] == HEALTH_DEGRADED;
	}
	if (now != HEALTH_OFFLINE || node->offline_ticks >= OFFLINE_TICKS)
		node->is_online = now != HEALTH_OFFLINE;
	if (!node->is_online || good == HF_DHT_HEALTH_TICKS)
		node->is_degraded = false;
	else if (degraded == HF_DHT_HEALTH_TICKS)
		node->is_degraded = true;
	if (was_online != node->is_online || was_degraded != node->is_degraded)
		hf_dht_node_tell(node, HF_DHT_EVENT_CHANGED);
}

/* ---- Ticking ---- */

void hf_dht_node_woke(struct hf_dht_node *node)
{
	node->tick += 2 * HF_DHT_OLD_TICKS;         /* everything is old */
	node->tick += 8 - (node->tick & 7) - 2;     /* and is pinged in two ticks */
	node->stable_ticks = HF_DHT_MORE_STABLE_TICKS;
	node->refresh_ticks = 1;                    /* the network has until then to wake up, too */
	node->has_last_host = false;
	node->health_ticks = node->offline_ticks = 0;
	memset(node->health, 0, sizeof node->health);
	node->is_online = true;
	node->is_degraded = false;
	if (node->role == HF_DHT_ADAPTIVE)
		node->is_ephemeral = true;
	hf_dht_node_tell(node, HF_DHT_EVENT_WOKE);
	hf_dht_node_tell(node, HF_DHT_EVENT_CHANGED);
}

static void look_at_state(struct hf_dht_node *node)
{
	if (!node->is_ephemeral || node->role == HF_DHT_EPHEMERAL || node->stable_ticks == 0 || --node->stable_ticks > 0)
		return;
	bool is_same = !forces_persistence(node) && node->has_last_host == node->nat.has_host &&
		(!node->has_last_host || hf_dht_same_host(&node->last_host, &node->nat.address));
	if (is_same) /* it was checked there already */
		node->stable_ticks = HF_DHT_MORE_STABLE_TICKS;
	else
		update_state(node, false, false);
}

static void on_tick(struct hf_timer *timer)
{
	struct hf_dht_node *node = HF_CONTAINER_OF(timer, struct hf_dht_node, ticker);
	uint64_t wall_ms = hf_env_wall_ms(node->env);

	hf_udp_timer_set(node->host, timer, HF_DHT_TICK_MS);
	if (wall_ms > node->last_tick_wall_ms + HF_DHT_SLEEP_MS)
		hf_dht_node_woke(node);
	else
		node->tick++;
	node->last_tick_wall_ms = wall_ms;
	if (node->records)
		hf_dht_record_store_tick(node->records);
	node->down_hints_left = HF_DHT_DOWN_HINTS_PER_TICK;
	if (!node->is_bootstrapped)
		return;
	look_at_state(node);
	if ((node->tick & 7) == 0)
		hf_dht_node_ping_some(node);
	if (((node->tick & 63) == 0 && node->table.count < HF_DHT_K) || node->refresh_ticks == 0 || --node->refresh_ticks == 0)
		hf_dht_node_refresh(node);
	look_at_health(node);
	if ((!node->is_online || node->table.count == 0) && node->tick % HF_DHT_OFFLINE_REFRESH_TICKS == 0)
		hf_dht_node_refresh(node); /* so that it is noticed when somebody answers again */
}

void hf_dht_node_start_ticking(struct hf_dht_node *node)
{
	node->ticker.fire = on_tick;
	node->refresh_every_ticks = HF_DHT_FIRST_REFRESH_TICKS + hf_dht_node_random_below(node, HF_DHT_FIRST_REFRESH_TICKS);
	node->refresh_ticks = node->refresh_every_ticks;
	node->stable_ticks = forces_persistence(node) ? HF_DHT_FORCED_TICKS : HF_DHT_STABLE_TICKS;
	node->last_tick_wall_ms = hf_env_wall_ms(node->env);
	hf_udp_timer_set(node->host, &node->ticker, HF_DHT_TICK_MS);
}
