/* Swarms on a simulated network: who finds whom, which of two connections stays, when one tries again and when one gives up. */
#include "dht_fixture.h"

#include "peer/swarm.h"

#define NETWORK 5 /* nodes of the DHT that are always there */
#define PEERS_MAX 8

static const uint8_t topic[32] = {7, 7, 7}, other_topic[32] = {8};

struct peer {
	struct hf_dht_connector *connector;
	struct hf_secret_stream_pool *pool;
	struct hf_swarm *swarm;
	struct hf_peer_socket *socket; /* opened last */
	uint8_t secret[HF_SIGN_SECRET_BYTES], key[HF_SIGN_PUBLIC_BYTES];
	unsigned at, opened, closed, waited, rested;
	int wait_code, close_code;
	bool refuses;
};

struct world {
	struct dht_fixture f;
	struct peer peers[PEERS_MAX];
	unsigned count;
};

static void on_opened(void *context, struct hf_peer_socket *socket)
{
	struct peer *p = context;

	p->opened++;
	p->socket = socket;
	assert_true(hf_peer_socket_mux(socket) != NULL);
}

static void on_closed(void *context, struct hf_peer_socket *socket, int code, const char *why)
{
	struct peer *p = context;

	assert_non_null(why);
	if (p->socket == socket)
		p->socket = NULL;
	p->closed += hf_peer_socket_mux(socket) != NULL; /* it had been opened */
	p->close_code = code;
}

static bool refuses(void *context, const uint8_t public_key[static 32])
{
	return ((struct peer *)context)->refuses;
}

/* A swarm at the peer's connector. */
static void begin_swarm_at(struct peer *p, struct hf_swarm_options options)
{
	static const struct hf_peer_socket_events events = {.opened = on_opened, .closed = on_closed};
	struct hf_peer_socket_options socket = {.size = sizeof socket, .secret_stream_pool = p->pool, .events = &events, .context = p};

	options.size = sizeof options;
	options.connector = p->connector;
	options.static_secret = p->secret;
	options.socket = &socket;
	options.refuses = refuses;
	options.context = p;
	assert_int_equal(hf_swarm_new(&p->swarm, &options, NULL), HF_OK);
}

/* Node number `at` of the fixture becomes a peer. */
static void begin_swarm(struct world *w, struct peer *p, struct hf_swarm_options options)
{
	struct hf_address local = {{0}};
	char text[32];

	snprintf(text, sizeof text, "20.0.0.%u:0", p->at + 1);
	assert_int_equal(hf_address_parse(text, &local, NULL), HF_OK);
	assert_int_equal(hf_secret_stream_pool_new(&p->pool), HF_OK);
	struct hf_dht_connector_options connector = {.size = sizeof connector, .node = w->f.nodes[p->at], .secret_stream_pool = p->pool,
		.local_addresses = &local, .local_address_count = 1};
	assert_int_equal(hf_dht_connector_new(&p->connector, &connector, NULL), HF_OK);
	begin_swarm_at(p, options);
}

static struct peer *add_peer_with(struct world *w, struct hf_swarm_options options)
{
	struct peer *p = &w->peers[w->count++];
	uint8_t seed[32] = {(uint8_t)w->count, 1};

	*p = (struct peer){.at = add_node(&w->f, HF_DHT_PERSISTENT)};
	hf_sign_keypair_from_seed(p->key, p->secret, seed);
	run_for(&w->f, SECOND);
	begin_swarm(w, p, options);
	return p;
}

static struct peer *add_peer(struct world *w)
{
	return add_peer_with(w, (struct hf_swarm_options){0});
}

static void begin(struct world *w)
{
	*w = (struct world){0};
	begin_network(&w->f, NETWORK);
}

static void end_peer(struct world *w, struct peer *p)
{
	hf_swarm_free(p->swarm);
	hf_peer_socket_free(p->socket);
	hf_dht_connector_free(p->connector);
	close_node(&w->f, p->at);
	hf_secret_stream_pool_free(p->pool);
	*p = (struct peer){0};
}

static void end(struct world *w)
{
	for (unsigned i = 0; i < w->count; i++)
		if (w->peers[i].swarm)
			end_peer(w, &w->peers[i]);
	end_network(&w->f);
}

static struct hf_swarm_session *join(struct peer *p, unsigned roles)
{
	struct hf_swarm_session *session;

	assert_int_equal(hf_swarm_join(p->swarm, topic, roles, 0, &session), HF_OK);
	return session;
}

static struct hf_swarm_stats stats(const struct peer *p)
{
	struct hf_swarm_stats stats;

	hf_swarm_stats(p->swarm, &stats);
	return stats;
}

static void expect_connected(struct peer *a, struct peer *b)
{
	assert_non_null(hf_swarm_find(a->swarm, b->key));
	assert_non_null(hf_swarm_find(b->swarm, a->key));
	assert_int_equal(stats(a).connections, 1);
	assert_int_equal(stats(b).connections, 1);
	assert_int_equal(a->opened - a->closed, 1);
	assert_int_equal(b->opened - b->closed, 1);
}

/* ---- Finding ---- */

static void test_a_client_finds_a_server_by_their_topic(void **state)
{
	struct world w;

	begin(&w);
	struct peer *server = add_peer(&w), *client = add_peer(&w), *stranger = add_peer(&w);
	struct hf_swarm_session *session;
	join(server, HF_SWARM_SERVER);
	run_for(&w.f, 5 * SECOND);
	assert_int_equal(hf_swarm_join(stranger->swarm, other_topic, HF_SWARM_CLIENT | HF_SWARM_SERVER, 0, &session), HF_OK);
	join(client, HF_SWARM_CLIENT);
	run_for(&w.f, 5 * SECOND);
	expect_connected(client, server);
	assert_int_equal(stats(stranger).connections, 0);
	assert_int_equal(stats(client).client_opened, 1);
	assert_int_equal(stats(server).server_opened, 1);
	assert_true(hf_peer_socket_is_initiator(client->socket));
	size_t cursor = 0;
	assert_ptr_equal(hf_swarm_next(client->swarm, &cursor), client->socket);
	assert_null(hf_swarm_next(client->swarm, &cursor));
	end(&w);
}

static void test_two_that_join_at_the_same_moment_find_each_other(void **state)
{
	struct world w;

	begin(&w);
	struct peer *a = add_peer(&w), *b = add_peer(&w);
	join(a, HF_SWARM_CLIENT | HF_SWARM_SERVER);
	join(b, HF_SWARM_CLIENT | HF_SWARM_SERVER);
	run_for(&w.f, 15 * SECOND);
	expect_connected(a, b);
	end(&w);
}

static void test_clients_alone_and_servers_alone_do_not_meet(void **state)
{
	for (unsigned role = HF_SWARM_SERVER; role <= HF_SWARM_CLIENT; role++) {
		struct world w;

		begin(&w);
		struct peer *a = add_peer(&w), *b = add_peer(&w);
		join(a, role);
		run_for(&w.f, 5 * SECOND);
		join(b, role);
		run_for(&w.f, 5 * SECOND);
		assert_int_equal(stats(a).connections + stats(b).connections, 0);
		end(&w);
	}
}

static void test_of_two_connections_the_one_that_the_greater_key_began_stays(void **state)
{
	struct world w;

	begin(&w);
	struct peer *a = add_peer(&w), *b = add_peer(&w);
	join(a, HF_SWARM_SERVER | HF_SWARM_CLIENT);
	join(b, HF_SWARM_SERVER | HF_SWARM_CLIENT);
	run_for(&w.f, 3 * SECOND);
	assert_int_equal(hf_swarm_join_peer(a->swarm, b->key), HF_OK);
	assert_int_equal(hf_swarm_join_peer(b->swarm, a->key), HF_OK);
	run_for(&w.f, 30 * SECOND);
	expect_connected(a, b);
	/* Both were dialled at the same time, with the same delays. */
	struct peer *greater = memcmp(a->key, b->key, 32) > 0 ? a : b;
	assert_true(stats(a).duplicates_closed + stats(b).duplicates_closed > 0);
	assert_true(hf_peer_socket_is_initiator(greater->socket));
	end(&w);
}

static void test_a_connection_in_use_gives_way_to_a_newer_one(void **state)
{
	struct world w;

	begin(&w);
	struct peer *a = add_peer(&w), *b = add_peer(&w);
	struct peer *greater = memcmp(a->key, b->key, 32) > 0 ? a : b, *lesser = greater == a ? b : a;
	join(greater, HF_SWARM_SERVER);
	run_for(&w.f, 5 * SECOND);
	join(lesser, HF_SWARM_CLIENT);
	run_for(&w.f, 10 * SECOND);
	expect_connected(a, b);
	/* Keep-alives went both ways. The lesser one starts again, on the same machine and with the same key. */
	run_for(&w.f, 20 * SECOND);
	sim_net_set_link(w.f.hosts[lesser->at], &(struct sim_link){.is_cut = true});
	hf_swarm_free(lesser->swarm);
	hf_peer_socket_free(lesser->socket);
	hf_dht_connector_free(lesser->connector);
	hf_secret_stream_pool_free(lesser->pool);
	lesser->socket = NULL;
	lesser->opened = lesser->closed = 0;
	sim_net_set_link(w.f.hosts[lesser->at], &(struct sim_link){.delay_us = 5000});
	begin_swarm(&w, lesser, (struct hf_swarm_options){0});
	join(lesser, HF_SWARM_CLIENT);
	run_for(&w.f, 10 * SECOND);
	expect_connected(a, b);
	assert_int_equal(greater->closed, 1);
	end(&w);
}

/* ---- Trying again ---- */

static void cut(struct world *w, struct peer *p, bool is_cut)
{
	sim_net_set_link(w->f.hosts[p->at], &(struct sim_link){.delay_us = 5000, .is_cut = is_cut});
}

static void test_a_peer_that_was_lost_is_found_again(void **state)
{
	struct world w;

	begin(&w);
	struct peer *server = add_peer(&w), *client = add_peer(&w);
	join(server, HF_SWARM_SERVER);
	run_for(&w.f, 5 * SECOND);
	join(client, HF_SWARM_CLIENT);
	run_for(&w.f, 30 * SECOND);
	expect_connected(client, server);
	cut(&w, server, true);
	run_for(&w.f, 60 * SECOND);
	assert_int_equal(client->closed, 1);
	assert_int_equal(client->close_code, HF_ETIMEOUT);
	cut(&w, server, false);
	run_for(&w.f, 15 * 60 * SECOND);
	expect_connected(client, server);
	end(&w);
}

static void test_who_cannot_be_reached_is_given_up_after_four_attempts(void **state)
{
	struct world w;

	begin(&w);
	struct peer *server = add_peer(&w), *client = add_peer(&w);
	join(server, HF_SWARM_SERVER);
	run_for(&w.f, 5 * SECOND);
	cut(&w, server, true);
	join(client, HF_SWARM_CLIENT);
	run_for(&w.f, 5 * 60 * SECOND);
	assert_int_equal(stats(client).client_attempted, 4);
	assert_int_equal(stats(client).connections, 0);
	assert_int_equal(stats(client).peers, 0);
	run_for(&w.f, 4 * 60 * SECOND);
	assert_int_equal(stats(client).client_attempted, 4);
	end(&w);
}

static void test_a_peer_asked_for_by_its_key_is_tried_for_ever(void **state)
{
	struct world w;

	begin(&w);
	struct peer *server = add_peer(&w), *client = add_peer(&w);
	join(server, HF_SWARM_SERVER);
	run_for(&w.f, 5 * SECOND);
	assert_int_equal(hf_swarm_join_peer(client->swarm, client->key), HF_EINVAL);
	assert_int_equal(hf_swarm_join_peer(client->swarm, server->key), HF_OK);
	run_for(&w.f, 30 * SECOND);
	expect_connected(client, server);
	cut(&w, server, true);
	run_for(&w.f, 10 * 60 * SECOND);
	assert_int_equal(stats(client).connections, 0);
	assert_int_equal(stats(client).peers, 1);
	cut(&w, server, false);
	run_for(&w.f, 30 * 60 * SECOND);
	expect_connected(client, server);
	hf_swarm_leave_peer(client->swarm, server->key);
	assert_non_null(hf_swarm_find(client->swarm, server->key));
	end(&w);
}

/* ---- Bounds ---- */

static void test_no_more_are_begun_than_there_is_room_for(void **state)
{
	struct world w;

	begin(&w);
	struct peer *client = add_peer_with(&w, (struct hf_swarm_options){.connection_count_max = 2});
	for (unsigned i = 0; i < 4; i++) {
		join(add_peer(&w), HF_SWARM_SERVER);
		run_for(&w.f, 2 * SECOND);
	}
	join(client, HF_SWARM_CLIENT);
	run_for(&w.f, 10 * SECOND);
	assert_int_equal(stats(client).connections, 2);
	assert_int_equal(stats(client).queued, 2);
	end_peer(&w, client);
	w.peers[0] = (struct peer){0};
	end(&w);
}

static void test_a_limit_bounds_how_many_are_taken_up(void **state)
{
	struct world w;
	struct hf_swarm_session *session;

	begin(&w);
	struct peer *client = add_peer(&w);
	for (unsigned i = 0; i < 3; i++) {
		join(add_peer(&w), HF_SWARM_SERVER);
		run_for(&w.f, 3 * SECOND);
	}
	assert_int_equal(hf_swarm_join(client->swarm, topic, HF_SWARM_CLIENT, 1, &session), HF_OK);
	run_for(&w.f, 10 * SECOND);
	assert_int_equal(stats(client).connections, 1);
	end(&w);
}

static void test_peers_that_are_refused_or_banned_are_left_alone(void **state)
{
	struct world w;

	begin(&w);
	struct peer *server = add_peer(&w), *client = add_peer(&w);
	server->refuses = true;
	join(server, HF_SWARM_SERVER);
	run_for(&w.f, 5 * SECOND);
	join(client, HF_SWARM_CLIENT);
	run_for(&w.f, 20 * SECOND);
	assert_int_equal(stats(server).connections, 0);
	assert_int_equal(stats(server).refused, 1);
	assert_int_equal(stats(server).banned, 1);
	/* Lifted, it may come again. */
	server->refuses = false;
	assert_int_equal(hf_swarm_ban(server->swarm, client->key, false), HF_OK);
	run_for(&w.f, 60 * SECOND);
	expect_connected(client, server);
	assert_int_equal(hf_swarm_ban(client->swarm, server->key, true), HF_OK);
	run_for(&w.f, 5 * SECOND);
	assert_int_equal(stats(client).connections, 0);
	assert_int_equal(client->close_code, HF_EDENIED);
	run_for(&w.f, 120 * SECOND);
	assert_int_equal(stats(client).connections, 0);
	end(&w);
}

/* ---- Waiting, leaving, sleeping ---- */

struct waiting {
	struct hf_swarm_wait wait; /* first */
	struct peer *peer;
};

static void on_waited(struct hf_swarm_wait *wait, int code)
{
	struct peer *p = ((struct waiting *)(void *)wait)->peer;

	p->waited++;
	p->wait_code = code;
}

static void on_rested(void *context)
{
	((struct peer *)context)->rested++;
}

static void test_waiting_ends_when_topics_are_looked_up_and_peers_tried(void **state)
{
	struct world w;

	begin(&w);
	struct peer *server = add_peer(&w), *client = add_peer(&w);
	struct waiting announced = {.wait.done = on_waited, .peer = server}, flushed = {.wait.done = on_waited, .peer = client};
	struct waiting cancelled = {.wait.done = on_waited, .peer = client}, left = {.wait.done = on_waited, .peer = client};
	hf_swarm_session_wait(join(server, HF_SWARM_SERVER), &announced.wait);
	assert_int_equal(server->waited, 0);
	run_for(&w.f, 5 * SECOND);
	assert_int_equal(server->waited, 1);
	assert_int_equal(server->wait_code, HF_OK);
	struct hf_swarm_session *session = join(client, HF_SWARM_CLIENT);
	hf_swarm_wait(client->swarm, &flushed.wait);
	hf_swarm_wait(client->swarm, &cancelled.wait);
	hf_swarm_wait_cancel(&cancelled.wait);
	run_for(&w.f, 5 * SECOND);
	assert_int_equal(client->waited, 1);
	assert_int_equal(client->opened, 1);
	/* Nothing is left to wait for. */
	hf_swarm_wait(client->swarm, &flushed.wait);
	assert_int_equal(client->waited, 1);
	run_for(&w.f, SECOND);
	assert_int_equal(client->waited, 2);
	assert_int_equal(hf_swarm_session_refresh(session, HF_SWARM_CLIENT | HF_SWARM_SERVER, 0), HF_OK);
	hf_swarm_session_wait(session, &left.wait);
	hf_swarm_leave(session);
	run_for(&w.f, SECOND);
	assert_int_equal(client->waited, 3);
	assert_int_equal(client->wait_code, HF_ECLOSED);
	end(&w);
}

/* Two swarms of one process with the same key: the connector listens for it once. */
static void test_a_key_that_is_taken_is_listened_for_once_it_is_free(void **state)
{
	struct world w;

	begin(&w);
	struct peer *server = add_peer(&w), *client = add_peer(&w);
	join(server, HF_SWARM_SERVER);
	run_for(&w.f, 5 * SECOND);
	struct hf_swarm *first = server->swarm;
	begin_swarm_at(server, (struct hf_swarm_options){0});
	struct hf_swarm_session *session = join(server, HF_SWARM_SERVER);
	struct waiting wait = {.wait.done = on_waited, .peer = server};
	hf_swarm_session_wait(session, &wait.wait);
	run_for(&w.f, SECOND);
	assert_int_equal(server->waited, 1);
	assert_int_equal(server->wait_code, HF_EEXISTS);
	hf_swarm_free(first);
	run_for(&w.f, 25 * SECOND);
	join(client, HF_SWARM_CLIENT);
	run_for(&w.f, 5 * SECOND);
	expect_connected(client, server);
	end(&w);
}

static void test_a_topic_that_is_left_is_taken_back(void **state)
{
	struct world w;

	begin(&w);
	struct peer *server = add_peer(&w), *client = add_peer(&w);
	struct hf_swarm_session *first = join(server, HF_SWARM_SERVER), *second = join(server, HF_SWARM_SERVER);
	run_for(&w.f, 5 * SECOND);
	hf_swarm_leave(first);
	run_for(&w.f, 5 * SECOND);
	assert_int_equal(stats(server).topics, 1);
	hf_swarm_leave(second);
	run_for(&w.f, 5 * SECOND);
	assert_int_equal(stats(server).topics, 0);
	join(client, HF_SWARM_CLIENT);
	run_for(&w.f, 5 * SECOND);
	assert_int_equal(stats(client).client_attempted, 0);
	/* Left and joined at once, it is found. */
	first = join(server, HF_SWARM_SERVER);
	run_for(&w.f, 5 * SECOND);
	hf_swarm_leave(first);
	join(server, HF_SWARM_SERVER);
	run_for(&w.f, 15 * 60 * SECOND);
	expect_connected(client, server);
	end(&w);
}

static void test_a_swarm_that_closes_says_goodbye(void **state)
{
	struct world w;
	struct hf_swarm_session *session;

	begin(&w);
	struct peer *server = add_peer(&w), *client = add_peer(&w);
	join(server, HF_SWARM_SERVER);
	run_for(&w.f, 5 * SECOND);
	join(client, HF_SWARM_CLIENT);
	run_for(&w.f, 5 * SECOND);
	expect_connected(client, server);
	hf_swarm_close(server->swarm, on_rested, server);
	assert_int_equal(hf_swarm_join(server->swarm, topic, HF_SWARM_SERVER, 0, &session), HF_ECLOSED);
	run_for(&w.f, 3 * SECOND);
	assert_int_equal(server->rested, 1);
	assert_int_equal(server->closed, 1);
	assert_int_equal(client->closed, 1);
	struct peer *late = add_peer(&w);
	join(late, HF_SWARM_CLIENT);
	run_for(&w.f, 5 * SECOND);
	assert_int_equal(stats(late).client_attempted, 0);
	end(&w);
}

static void test_a_swarm_sleeps_and_wakes(void **state)
{
	struct world w;

	begin(&w);
	struct peer *server = add_peer(&w), *client = add_peer(&w);
	join(server, HF_SWARM_SERVER);
	run_for(&w.f, 5 * SECOND);
	join(client, HF_SWARM_CLIENT);
	run_for(&w.f, 5 * SECOND);
	hf_swarm_suspend(server->swarm, on_rested, server);
	run_for(&w.f, 5 * SECOND);
	assert_int_equal(server->rested, 1);
	assert_int_equal(stats(server).connections, 0);
	assert_int_equal(client->closed, 1);
	assert_null(hf_swarm_find(client->swarm, server->key)); /* though it tries */
	hf_swarm_resume(server->swarm);
	run_for(&w.f, 15 * 60 * SECOND);
	expect_connected(client, server);
	hf_swarm_network_changed(server->swarm);
	hf_swarm_network_changed(client->swarm);
	run_for(&w.f, 20 * SECOND);
	expect_connected(client, server);
	end(&w);
}

/* Whatever is under way, a swarm may be freed. */
static void test_a_swarm_may_be_freed_at_any_moment(void **state)
{
	for (unsigned ms = 0; ms < 900; ms += 25) {
		struct world w;

		begin(&w);
		struct peer *a = add_peer(&w), *b = add_peer(&w);
		struct waiting wait = {.wait.done = on_waited, .peer = b};
		join(a, HF_SWARM_SERVER | HF_SWARM_CLIENT);
		run_for(&w.f, 2 * SECOND);
		join(b, HF_SWARM_SERVER | HF_SWARM_CLIENT);
		hf_swarm_wait(b->swarm, &wait.wait);
		run_for(&w.f, ms * 1000);
		if (ms % 2)
			hf_swarm_close(b->swarm, on_rested, b);
		end(&w);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_client_finds_a_server_by_their_topic),
		cmocka_unit_test(test_two_that_join_at_the_same_moment_find_each_other),
		cmocka_unit_test(test_clients_alone_and_servers_alone_do_not_meet),
		cmocka_unit_test(test_of_two_connections_the_one_that_the_greater_key_began_stays),
		cmocka_unit_test(test_a_connection_in_use_gives_way_to_a_newer_one),
		cmocka_unit_test(test_a_peer_that_was_lost_is_found_again),
		cmocka_unit_test(test_who_cannot_be_reached_is_given_up_after_four_attempts),
		cmocka_unit_test(test_a_peer_asked_for_by_its_key_is_tried_for_ever),
		cmocka_unit_test(test_no_more_are_begun_than_there_is_room_for),
		cmocka_unit_test(test_a_limit_bounds_how_many_are_taken_up),
		cmocka_unit_test(test_peers_that_are_refused_or_banned_are_left_alone),
		cmocka_unit_test(test_waiting_ends_when_topics_are_looked_up_and_peers_tried),
		cmocka_unit_test(test_a_key_that_is_taken_is_listened_for_once_it_is_free),
		cmocka_unit_test(test_a_topic_that_is_left_is_taken_back),
		cmocka_unit_test(test_a_swarm_that_closes_says_goodbye),
		cmocka_unit_test(test_a_swarm_sleeps_and_wakes),
		cmocka_unit_test(test_a_swarm_may_be_freed_at_any_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
