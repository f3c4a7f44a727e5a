/* Nodes of the DHT among themselves: what they know of themselves, requests and their repetition, limits, coming and going. */
#include "dht_fixture.h"

/* ---- What a node knows ---- */

static void test_nodes_find_each_other_and_their_addresses(void **state)
{
	struct dht_fixture f;

	(void)state;
	begin_network(&f, 12);
	for (unsigned i = 0; i < 12; i++) {
		struct hf_dht_node_state s = state_of(&f, i);
		struct hf_address remote, own = address_of(&f, i);
		uint8_t id[HF_DHT_ID_BYTES];
		assert_true(s.is_bootstrapped && s.is_persistent && !s.is_firewalled && s.has_port && s.is_online);
		assert_true(hf_dht_node_remote_address(f.nodes[i], &remote) && hf_address_equal(&remote, &own));
		hf_dht_id(id, &own);
		assert_memory_equal(s.id, id, sizeof id);
		assert_int_equal(stats_of(&f, i).table_count, 11);
		assert_ptr_equal(hf_dht_node_socket(f.nodes[i]), hf_dht_node_server_socket(f.nodes[i]));
	}
	end_network(&f);
}

static void test_an_adaptive_node_becomes_persistent_in_twenty_minutes(void **state)
{
	struct dht_fixture f;
	struct hf_dht_contact recent[20];

	(void)state;
	begin_network(&f, 8);
	unsigned at = add_node(&f, HF_DHT_ADAPTIVE);
	assert_true(state_of(&f, at).is_firewalled);
	assert_ptr_equal(hf_dht_node_socket(f.nodes[at]), hf_dht_node_client_socket(f.nodes[at]));
	run_for(&f, 30 * SECOND);
	assert_false(state_of(&f, at).is_persistent);
	assert_int_equal(stats_of(&f, 0).table_count, 7); /* nobody keeps it */
	run_for(&f, 1300 * SECOND);
	assert_true(state_of(&f, at).is_persistent && !state_of(&f, at).is_firewalled);
	run_for(&f, 120 * SECOND);
	assert_int_equal(stats_of(&f, 0).table_count, 8);
	assert_int_equal(hf_dht_node_recent(f.nodes[at], recent, 20), 8);
	unsigned never = add_node(&f, HF_DHT_EPHEMERAL);
	run_for(&f, 3000 * SECOND);
	assert_false(state_of(&f, never).is_persistent);
	end_network(&f);
}

static void test_without_bootstrap_nodes_nobody_is_contacted(void **state)
{
	struct dht_fixture f = {.net = sim_net_new(3)};
	struct sim_counters counters;

	(void)state;
	add_node(&f, HF_DHT_ADAPTIVE);
	add_node(&f, HF_DHT_PERSISTENT);
	run_for(&f, 3600 * SECOND);
	assert_int_equal(f.bootstrapped, 2);
	sim_net_counters(f.net, &counters);
	assert_int_equal(counters.sent, 0);
	end_network(&f);
}

static void test_options_that_make_no_sense_are_refused(void **state)
{
	struct sim_net *net = sim_net_new(1);
	struct hf_udx_net *udx;
	struct hf_dht_node *node;
	struct hf_failure failure = {0};
	struct hf_dht_node_options options = {.size = sizeof options, .role = HF_DHT_BOOTSTRAPPER};
	struct hf_address none = {.port = 0};

	(void)state;
	assert_int_equal(hf_udx_net_new(&udx, sim_net_host(net, "20.0.0.1"), NULL), HF_OK);
	options.net = udx;
	assert_int_equal(hf_dht_node_new(&node, &options, &failure), HF_EINVAL);
	options.role = HF_DHT_ADAPTIVE;
	options.bootstrap = &none;
	options.bootstrap_count = 1;
	assert_int_equal(hf_dht_node_new(&node, &options, &failure), HF_EINVAL);
	options.bootstrap_count = 0;
	assert_int_equal(hf_address_parse("[::1]:0", &options.bind, NULL), HF_OK);
	assert_int_equal(hf_dht_node_new(&node, &options, &failure), HF_EINVAL);
	assert_null(node);
	assert_true(failure.text[0] != '\0');
	hf_udx_net_free(udx);
	sim_net_free(net);
}

/* ---- Requests ---- */

struct asked {
	struct hf_dht_request request;
	struct dht_fixture *f;
	unsigned done, slow;
	int code;
	uint64_t at_us;
	struct hf_address from, to;
	bool has_id, has_token, frees;
	unsigned free_at;
};

static void on_done(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct asked *a = HF_CONTAINER_OF(request, struct asked, request);

	a->done++;
	a->code = code;
	a->at_us = sim_net_now_us(a->f->net);
	if (reply) {
		a->from = reply->from;
		a->to = reply->to;
		a->has_id = reply->id != NULL;
		a->has_token = reply->token != NULL;
	}
	if (a->frees) {
		hf_dht_node_free(a->f->nodes[a->free_at]);
		a->f->nodes[a->free_at] = NULL;
	}
}

static void on_slow(struct hf_dht_request *request)
{
	HF_CONTAINER_OF(request, struct asked, request)->slow++;
}

static struct asked asking(struct dht_fixture *f)
{
	return (struct asked){.request = {.done = on_done, .slow = on_slow}, .f = f};
}

static void test_a_ping_is_answered_and_shows_addresses(void **state)
{
	struct dht_fixture f;
	struct asked a;

	(void)state;
	begin_network(&f, 3);
	a = asking(&f);
	struct hf_address to = address_of(&f, 1), own = address_of(&f, 2);
	assert_int_equal(hf_dht_ping(f.nodes[2], &a.request, &to, NULL), HF_OK);
	assert_true(hf_dht_request_is_active(&a.request));
	run_for(&f, SECOND);
	assert_int_equal(a.done, 1);
	assert_int_equal(a.code, HF_OK);
	assert_true(hf_address_equal(&a.from, &to) && hf_address_equal(&a.to, &own));
	assert_true(a.has_id && !a.has_token);
	assert_false(hf_dht_request_is_active(&a.request));
	assert_int_equal(hf_dht_ping(f.nodes[2], &a.request, &to, hf_dht_node_client_socket(f.nodes[2])), HF_OK);
	run_for(&f, SECOND);
	assert_int_equal(a.done, 2);
	assert_int_equal(a.to.port, hf_udx_socket_address(hf_dht_node_client_socket(f.nodes[2]))->port);
	end_network(&f);
}

static void test_silence_is_met_with_three_repetitions(void **state)
{
	struct dht_fixture f;
	struct asked a, once;
	struct hf_address nowhere;
	struct hf_dht_node_stats before;

	(void)state;
	begin_network(&f, 2);
	a = asking(&f);
	once = asking(&f);
	assert_int_equal(hf_address_parse("20.9.9.9:1", &nowhere, NULL), HF_OK);
	before = stats_of(&f, 1);
	uint64_t begun_us = sim_net_now_us(f.net);
	assert_int_equal(hf_dht_ping(f.nodes[1], &a.request, &nowhere, NULL), HF_OK);
	once.request.once = true;
	assert_int_equal(hf_dht_ping(f.nodes[1], &once.request, &nowhere, NULL), HF_OK);
	run_for(&f, 3900000);
	assert_int_equal(once.code, HF_ETIMEOUT);
	assert_int_equal(once.at_us - begun_us, SECOND);
	assert_int_equal(a.done, 0);
	assert_int_equal(a.slow, 1);
	run_for(&f, SECOND);
	assert_int_equal(a.code, HF_ETIMEOUT);
	assert_int_equal(a.at_us - begun_us, 4 * SECOND);
	assert_int_equal(stats_of(&f, 1).retries - before.retries, 3);
	assert_int_equal(stats_of(&f, 1).timeouts - before.timeouts, 2);
	assert_int_equal(hf_address_parse("[::1]:7", &nowhere, NULL), HF_OK);
	assert_int_equal(hf_dht_ping(f.nodes[1], &a.request, &nowhere, NULL), HF_EADDR);
	end_network(&f);
}

static void test_the_window_holds_a_flood_back(void **state)
{
	struct dht_fixture f;
	struct asked *many = calloc(400, sizeof *many);
	struct hf_address nowhere;

	(void)state;
	assert_non_null(many);
	begin_network(&f, 2);
	run_for(&f, 4 * SECOND);
	assert_int_equal(hf_address_parse("20.9.9.9:1", &nowhere, NULL), HF_OK);
	for (unsigned i = 0; i < 400; i++) {
		many[i] = asking(&f);
		many[i].request.once = true;
		assert_int_equal(hf_dht_ping(f.nodes[1], &many[i].request, &nowhere, NULL), HF_OK);
	}
	assert_true(stats_of(&f, 1).waiting_count >= 400 - HF_DHT_WINDOW_MAX);
	struct asked forced = asking(&f);
	struct hf_address to = address_of(&f, 0);
	forced.request.force = true;
	assert_int_equal(hf_dht_ping(f.nodes[1], &forced.request, &to, NULL), HF_OK);
	run_for(&f, SECOND / 4);
	assert_int_equal(forced.done, 1);
	for (unsigned i = 0; i < 400; i += 3) /* those in line may be taken out of it */
		hf_dht_request_cancel(&many[i].request);
	run_for(&f, 30 * SECOND);
	for (unsigned i = 0; i < 400; i++)
		assert_int_equal(many[i].done, i % 3 != 0);
	assert_int_equal(stats_of(&f, 1).waiting_count, 0);
	free(many);
	end_network(&f);
}

static void test_a_node_may_be_freed_in_a_callback(void **state)
{
	struct dht_fixture f;
	struct asked a;

	(void)state;
	begin_network(&f, 3);
	a = asking(&f);
	a.frees = true;
	a.free_at = 2;
	struct hf_address to = address_of(&f, 1);
	assert_int_equal(hf_dht_ping(f.nodes[2], &a.request, &to, NULL), HF_OK);
	run_for(&f, SECOND);
	assert_int_equal(a.done, 1);
	assert_null(f.nodes[2]);
	end_network(&f);
}

/* ---- Suspending ---- */

static void test_a_suspended_node_is_silent_and_comes_back(void **state)
{
	struct dht_fixture f;
	struct asked a, other;
	struct hf_dht_lookup lookup = {.kind = HF_DHT_LOOK_UP};

	(void)state;
	begin_network(&f, 5);
	a = asking(&f);
	other = asking(&f);
	struct hf_address to = address_of(&f, 1), own = address_of(&f, 4), nowhere;
	assert_int_equal(hf_address_parse("20.9.9.9:1", &nowhere, NULL), HF_OK);
	assert_int_equal(hf_dht_ping(f.nodes[4], &a.request, &nowhere, NULL), HF_OK);
	hf_dht_node_suspend(f.nodes[4]);
	assert_int_equal(hf_dht_ping(f.nodes[4], &other.request, &to, NULL), HF_ECANCELED);
	assert_int_equal(hf_dht_lookup_start(f.nodes[4], &lookup), HF_ECANCELED);
	run_for(&f, 20 * SECOND);
	assert_int_equal(a.code, HF_ECANCELED);
	assert_true(state_of(&f, 4).is_suspended);
	assert_null(hf_dht_node_server_socket(f.nodes[4]));
	assert_int_equal(hf_dht_ping(f.nodes[0], &other.request, &own, NULL), HF_OK);
	run_for(&f, 5 * SECOND);
	assert_int_equal(other.code, HF_ETIMEOUT);
	assert_int_equal(hf_dht_node_resume(f.nodes[4], NULL), HF_OK);
	struct hf_address again = address_of(&f, 4);
	assert_true(hf_address_equal(&own, &again));
	run_for(&f, 30 * SECOND);
	assert_int_equal(f.woke, 1);
	assert_int_equal(hf_dht_ping(f.nodes[0], &other.request, &own, NULL), HF_OK);
	run_for(&f, SECOND);
	assert_int_equal(other.code, HF_OK);
	end_network(&f);
}

static void test_a_table_is_kept_over_restarts(void **state)
{
	struct dht_fixture f;
	struct hf_buffer saved = {0};
	struct hf_address nobody;

	(void)state;
	begin_network(&f, 10);
	assert_int_equal(hf_dht_node_save(f.nodes[9], &saved), HF_OK);
	close_node(&f, 9);
	assert_int_equal(hf_address_parse("20.9.9.9:1", &nobody, NULL), HF_OK);
	unsigned at = add_node_with(&f, (struct hf_dht_node_options){.role = HF_DHT_PERSISTENT, .is_open = true, .bootstrap = &nobody,
		.bootstrap_count = 1, .saved = hf_buffer_slice(&saved)});
	run_for(&f, 30 * SECOND);
	assert_true(state_of(&f, at).is_persistent);
	assert_int_equal(stats_of(&f, at).table_count, 9);
	saved.data[0] = 9;
	at = add_node_with(&f, (struct hf_dht_node_options){.role = HF_DHT_EPHEMERAL, .bootstrap = &nobody, .bootstrap_count = 1,
		.saved = hf_buffer_slice(&saved)});
	assert_int_equal(stats_of(&f, at).table_count, 0);
	hf_buffer_free(&saved);
	end_network(&f);
}

/* ---- Those who are gone ---- */

static void test_dead_nodes_leave_the_tables(void **state)
{
	struct dht_fixture f;

	(void)state;
	begin_network(&f, 10);
	close_node(&f, 5);
	close_node(&f, 6);
	run_for(&f, 1200 * SECOND);
	for (unsigned i = 0; i < 10; i++)
		if (f.nodes[i])
			assert_int_equal(stats_of(&f, i).table_count, 7);
	end_network(&f);
}

static void test_a_cut_off_node_knows_that_it_is_offline(void **state)
{
	struct dht_fixture f;

	(void)state;
	begin_network(&f, 25);
	run_for(&f, 60 * SECOND);
	assert_true(state_of(&f, 24).is_online);
	sim_net_set_link(f.hosts[24], &(struct sim_link){.is_cut = true});
	for (unsigned i = 0; i < 40; i++) {
		hf_dht_node_network_changed(f.nodes[24]);
		run_for(&f, 10 * SECOND);
	}
	assert_false(state_of(&f, 24).is_online);
	end_network(&f);
}

static void test_too_many_requests_of_one_host_are_dropped(void **state)
{
	struct dht_fixture f;
	struct asked *many = calloc(60, sizeof *many);
	unsigned answered = 0;

	(void)state;
	assert_non_null(many);
	begin_network(&f, 2);
	unsigned at = add_node_with(&f, (struct hf_dht_node_options){.role = HF_DHT_PERSISTENT, .is_open = true, .rate_per_s = 20});
	run_for(&f, 3 * SECOND);
	struct hf_address to = address_of(&f, at);
	for (unsigned i = 0; i < 60; i++) {
		many[i] = asking(&f);
		many[i].request.once = true;
		assert_int_equal(hf_dht_ping(f.nodes[1], &many[i].request, &to, NULL), HF_OK);
	}
	run_for(&f, 2 * SECOND);
	for (unsigned i = 0; i < 60; i++)
		answered += many[i].code == HF_OK;
	assert_int_equal(answered, 20);
	assert_int_equal(stats_of(&f, at).rate_limited, 40);
	free(many);
	end_network(&f);
}

/* Addresses can be forged: a network whose hosts have shown no token gets so much and no more. */
static void test_a_network_that_proved_nothing_has_a_budget(void **state)
{
	static const uint8_t target[HF_DHT_ID_BYTES] = {1};
	struct dht_fixture f;
	struct asked *many = calloc(4 * 190, sizeof *many);
	unsigned answered = 0;

	(void)state;
	assert_non_null(many);
	begin_network(&f, 30);
	struct hf_address to = address_of(&f, 0);
	uint64_t before = stats_of(&f, 0).over_budget;
	for (unsigned i = 0; i < 4 * 190; i++) {
		many[i] = asking(&f);
		many[i].request.to = to;
		many[i].request.is_internal = many[i].request.once = many[i].request.force = true;
		many[i].request.command = HF_DHT_FIND_NODE;
		many[i].request.target = target;
		assert_int_equal(hf_dht_request_start(f.nodes[1 + i % 4], &many[i].request), HF_OK);
	}
	run_for(&f, 5 * SECOND);
	for (unsigned i = 0; i < 4 * 190; i++)
		answered += many[i].code == HF_OK;
	assert_true(answered > 200 && answered * 163u <= HF_DHT_UNPROVEN_BYTES_PER_S);
	assert_int_equal(stats_of(&f, 0).over_budget - before, 4 * 190 - answered);
	free(many);
	end_network(&f);
}

/* ---- Clocks ---- */

static int64_t jumped_ms;

static uint64_t jumping_wall_ms(struct hf_env *env)
{
	return UINT64_C(1700000000000) + env->monotonic_us(env) / 1000 + (uint64_t)jumped_ms;
}

static void test_a_machine_that_slept_looks_around_again(void **state)
{
	struct dht_fixture f;

	(void)state;
	jumped_ms = 0;
	begin_network(&f, 8);
	unsigned at = add_node(&f, HF_DHT_ADAPTIVE);
	f.hosts[at]->env->wall_ms = jumping_wall_ms;
	run_for(&f, 1400 * SECOND);
	assert_true(state_of(&f, at).is_persistent);
	close_node(&f, 6);
	close_node(&f, 7);
	jumped_ms = 8 * 3600 * 1000;
	uint64_t queries = stats_of(&f, at).queries;
	run_for(&f, 30 * SECOND);
	assert_int_equal(f.woke, 1);
	assert_false(state_of(&f, at).is_persistent); /* who knows where it is now */
	assert_true(stats_of(&f, at).queries > queries);
	run_for(&f, 60 * SECOND);
	assert_int_equal(stats_of(&f, at).table_count, 6); /* those that went meanwhile are out */
	jumped_ms = -3600 * 1000; /* set back: no sleep */
	run_for(&f, 4000 * SECOND);
	assert_int_equal(f.woke, 1);
	assert_true(state_of(&f, at).is_persistent);
	end_network(&f);
}

static void test_one_byte_is_a_probe(void **state)
{
	struct dht_fixture f;
	struct hf_address to;

	(void)state;
	begin_network(&f, 2);
	to = address_of(&f, 1);
	assert_true(hf_udx_socket_send_one(hf_dht_node_server_socket(f.nodes[0]), &to, hf_slice("\0", 1), 0));
	assert_true(hf_udx_socket_send_one(hf_dht_node_server_socket(f.nodes[0]), &to, hf_slice("\x03no", 3), 0));
	run_for(&f, SECOND);
	assert_int_equal(f.probes, 1);
	assert_int_equal(stats_of(&f, 1).malformed, 1);
	end_network(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nodes_find_each_other_and_their_addresses),
		cmocka_unit_test(test_an_adaptive_node_becomes_persistent_in_twenty_minutes),
		cmocka_unit_test(test_without_bootstrap_nodes_nobody_is_contacted),
		cmocka_unit_test(test_options_that_make_no_sense_are_refused),
		cmocka_unit_test(test_a_ping_is_answered_and_shows_addresses),
		cmocka_unit_test(test_silence_is_met_with_three_repetitions),
		cmocka_unit_test(test_the_window_holds_a_flood_back),
		cmocka_unit_test(test_a_node_may_be_freed_in_a_callback),
		cmocka_unit_test(test_a_suspended_node_is_silent_and_comes_back),
		cmocka_unit_test(test_a_table_is_kept_over_restarts),
		cmocka_unit_test(test_dead_nodes_leave_the_tables),
		cmocka_unit_test(test_a_cut_off_node_knows_that_it_is_offline),
		cmocka_unit_test(test_too_many_requests_of_one_host_are_dropped),
		cmocka_unit_test(test_a_network_that_proved_nothing_has_a_budget),
		cmocka_unit_test(test_a_machine_that_slept_looks_around_again),
		cmocka_unit_test(test_one_byte_is_a_probe),
	};

	if (hf_crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
