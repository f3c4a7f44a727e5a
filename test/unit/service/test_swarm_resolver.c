/* Bootstrap nodes by name, on loopback: read, looked up while the loop goes on, and found by their name where their address is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/list.h"
#include "crypto/hash.h"
#include "peer/dht_node_query.h"
#include "service/swarm_resolver.h"

/* A label of more than 63 characters is refused before anybody is asked. */
#define NO_NAME "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

struct scene {
	struct hf_env env;
	struct hf_loop *loop;
	struct hf_udx_net *net;
	struct hf_dht_node *first, *node;
	struct hf_swarm_bootstrap bootstrap;
	struct hf_swarm_resolver *resolver;
	struct hf_timer limit;
	unsigned found, bootstrapped;
	char sentence[HF_FAILURE_TEXT_BYTES];
};

static void on_bootstrapped(void *context, struct hf_dht_node *node)
{
	((struct scene *)context)->bootstrapped++;
}

static void on_found(void *context)
{
	((struct scene *)context)->found++;
}

static void on_failed(void *context, const char *sentence)
{
	snprintf(((struct scene *)context)->sentence, HF_FAILURE_TEXT_BYTES, "%s", sentence);
}

static void on_limit(struct hf_timer *timer)
{
	hf_loop_stop(HF_CONTAINER_OF(timer, struct scene, limit)->loop);
}

static void run_for(struct scene *s, uint64_t ms)
{
	assert_int_equal(hf_loop_timer_set(s->loop, &s->limit, ms), HF_OK);
	hf_loop_run(s->loop);
}

/* host becomes HOST:PORT of a first node that is there. */
static void begin(struct scene *s, const char *host)
{
	static const uint8_t loopback[4] = {127, 0, 0, 1};
	static const struct hf_dht_node_events events = {.bootstrapped = on_bootstrapped};
	static const struct hf_swarm_resolver_events resolver_events = {.found = on_found, .failed = on_failed};
	struct hf_address known[HF_SWARM_BOOTSTRAP_COUNT_MAX];
	char text[400];

	*s = (struct scene){.limit = {.fire = on_limit}};
	hf_env_system(&s->env);
	assert_int_equal(hf_loop_new(&s->loop, &s->env), HF_OK);
	assert_int_equal(hf_udx_net_new(&s->net, hf_udp_host_of_loop(s->loop), NULL), HF_OK);
	struct hf_dht_node_options first = {.size = sizeof first, .net = s->net, .role = HF_DHT_BOOTSTRAPPER, .only_port = true,
		.bind = hf_dht_address(loopback, 0), .address = hf_dht_address(loopback, 0)};
	assert_int_equal(hf_dht_node_new(&s->first, &first, NULL), HF_OK);
	snprintf(text, sizeof text, "%s:%u", host, hf_udx_socket_address(hf_dht_node_server_socket(s->first))->port);
	assert_int_equal(hf_swarm_bootstrap_add(&s->bootstrap, text, NULL), HF_OK);
	struct hf_dht_node_options node = {.size = sizeof node, .net = s->net, .role = HF_DHT_EPHEMERAL, .only_port = true,
		.bind = hf_dht_address(loopback, 0), .bootstrap = known, .bootstrap_count = hf_swarm_bootstrap_addresses(&s->bootstrap, known),
		.bootstrap_is_pending = hf_swarm_resolver_is_needed_first(&s->bootstrap), .events = &events, .context = s};
	assert_int_equal(hf_dht_node_new(&s->node, &node, NULL), HF_OK);
	assert_int_equal(hf_swarm_resolver_new(&s->resolver, s->loop, s->node, &s->bootstrap, &resolver_events, s), HF_OK);
}

static void end(struct scene *s)
{
	hf_swarm_resolver_free(s->resolver);
	hf_dht_node_free(s->node);
	hf_dht_node_free(s->first);
	hf_udx_net_free(s->net);
	hf_loop_free(s->loop);
}

static size_t known_nodes(const struct scene *s)
{
	struct hf_dht_node_stats stats;

	hf_dht_node_read_stats(s->node, &stats);
	return stats.table_count;
}

static void test_entries_are_addresses_names_or_both(void **state)
{
	static const char *const wrong[] = {"127.0.0.1", "127.0.0.1:0", "127.0.0.1:65536", ":49737", "@node:1", "1.2.3.4@:1", "node@1.2.3.4:1",
		"300.1.1.1:1", "a b:1", "node/:1", "[::1]:1"};
	struct hf_swarm_bootstrap b = {0};
	struct hf_address known[HF_SWARM_BOOTSTRAP_COUNT_MAX];
	struct hf_failure failure;

	assert_int_equal(hf_swarm_bootstrap_add(&b, " 10.0.0.1:1 , node.example.org:2,10.0.0.3@node-3:3,", NULL), HF_OK);
	assert_int_equal(b.count, 3);
	assert_string_equal(b.nodes[0].name, "");
	assert_string_equal(b.nodes[1].name, "node.example.org");
	assert_int_equal(b.nodes[1].address.port, 2);
	assert_string_equal(b.nodes[2].name, "node-3");
	assert_int_equal(hf_swarm_bootstrap_addresses(&b, known), 2);
	assert_false(hf_swarm_resolver_is_needed_first(&b));
	assert_int_equal(hf_swarm_bootstrap_add(&b, "public", NULL), HF_OK);
	assert_int_equal(b.count, 6);
	assert_int_equal(hf_swarm_bootstrap_addresses(&b, known), 5);
	assert_string_equal(b.nodes[5].name, "node3.hyperdht.org");
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(hf_swarm_bootstrap_add(&b, wrong[i], &failure), HF_EINVAL);
	assert_int_equal(b.count, 6);
}

static struct hf_dht_query_figures queried;

static void on_queried(struct hf_dht_query *query, int code)
{
	assert_int_equal(code, HF_OK);
	hf_dht_query_read_figures(query, &queried);
}

static void test_a_name_is_looked_up_and_what_was_asked_meanwhile_waits(void **state)
{
	struct scene s;
	struct hf_dht_query query = {.is_internal = true, .command = HF_DHT_FIND_NODE, .done = on_queried};

	begin(&s, "localhost");
	assert_true(hf_swarm_resolver_is_needed_first(&s.bootstrap));
	assert_int_equal(hf_dht_query_start(s.node, &query), HF_OK);
	for (unsigned i = 0; i < 100 && (s.bootstrapped == 0 || hf_dht_query_is_active(&query)); i++)
		run_for(&s, 20);
	assert_int_equal(s.bootstrapped, 1);
	assert_int_equal(s.found, 1);
	assert_int_equal(known_nodes(&s), 1);
	assert_false(hf_dht_query_is_active(&query));
	assert_int_equal(queried.answered, 1);
	assert_string_equal(s.sentence, "");
	end(&s);
}

static void test_where_the_suggested_address_is_silent_the_name_is_looked_up(void **state)
{
	struct scene s;

	begin(&s, "127.0.0.2@localhost");
	assert_false(hf_swarm_resolver_is_needed_first(&s.bootstrap));
	for (unsigned i = 0; i < 100 && known_nodes(&s) == 0; i++)
		run_for(&s, 100);
	assert_int_equal(known_nodes(&s), 1);
	assert_int_equal(s.found, 1);
	end(&s);
}

static void test_where_it_answers_no_name_is_looked_up(void **state)
{
	struct scene s;

	begin(&s, "127.0.0.1@" NO_NAME);
	run_for(&s, 300);
	assert_int_equal(known_nodes(&s), 1);
	assert_int_equal(s.found, 0);
	assert_string_equal(s.sentence, "");
	end(&s);
}

static void test_a_name_that_is_not_known_is_told(void **state)
{
	struct scene s;

	begin(&s, NO_NAME);
	for (unsigned i = 0; i < 100 && s.bootstrapped == 0; i++)
		run_for(&s, 50);
	assert_int_equal(s.bootstrapped, 1); /* with nobody: it does not wait for ever */
	assert_non_null(strstr(s.sentence, "cannot be found"));
	assert_non_null(strstr(s.sentence, NO_NAME));
	end(&s);
}

static void test_it_may_be_freed_while_names_are_looked_up(void **state)
{
	struct scene s;

	begin(&s, "localhost");
	run_for(&s, 0);
	end(&s);
	begin(&s, "127.0.0.2@localhost");
	run_for(&s, 0);
	end(&s);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_entries_are_addresses_names_or_both),
		cmocka_unit_test(test_a_name_is_looked_up_and_what_was_asked_meanwhile_waits),
		cmocka_unit_test(test_where_the_suggested_address_is_silent_the_name_is_looked_up),
		cmocka_unit_test(test_where_it_answers_no_name_is_looked_up),
		cmocka_unit_test(test_a_name_that_is_not_known_is_told),
		cmocka_unit_test(test_it_may_be_freed_while_names_are_looked_up),
	};

	if (hf_crypto_init() < 0)
		return 1;
	return cmocka_run_group_tests(tests, NULL, NULL);
}
