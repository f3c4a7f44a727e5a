/* The puncher by itself on a simulated network without NATs: what it finds out, whom it probes, how often, and when it gives up. */
#include "dht_fixture.h"

#include "peer/puncher.h"

struct scene {
	struct dht_fixture f;
	struct hf_secret_stream_pool *pool;
	struct hf_dht_connector *connector;
	struct hf_puncher *puncher;
	struct hf_udx_socket *target; /* somebody who counts probes */
	unsigned probes, connected, aborted, analysed;
	bool is_stable, answers;
	struct hf_address heard;
	uint64_t aborted_us;
};
static struct scene scene;

static void on_datagram(void *context, struct hf_udx_socket *socket, const struct hf_address *from, uint8_t *data, size_t length)
{
	static const uint8_t probe = 0;

	assert_true(length == 1 && data[0] == 0);
	scene.probes++;
	scene.heard = *from;
	if (scene.answers)
		hf_udx_socket_send_one(socket, from, hf_slice(&probe, 1), 0);
}

static const struct hf_udx_socket_events target_events = {.datagram = on_datagram};

static void on_connected(void *context, struct hf_punch_socket *socket, const struct hf_address *from)
{
	assert_ptr_equal(socket, hf_puncher_socket(scene.puncher));
	assert_true(hf_address_equal(from, hf_udx_socket_address(scene.target)) || from->port == hf_udx_socket_address(scene.target)->port);
	scene.connected++;
}

static void on_aborted(void *context)
{
	scene.aborted++;
	scene.aborted_us = sim_net_now_us(scene.f.net);
}

static void on_analysed(void *context, bool is_stable)
{
	scene.analysed++;
	scene.is_stable = is_stable;
}

static const struct hf_puncher_events events = {.connected = on_connected, .aborted = on_aborted, .analysed = on_analysed};

static void set_up(bool is_initiator, uint64_t remote_firewall)
{
	struct hf_dht_connector_options options = {.size = sizeof options};
	struct hf_address any = {.ip = {[10] = 0xff, [11] = 0xff}};

	memset(&scene, 0, sizeof scene);
	begin_network(&scene.f, 12);
	assert_int_equal(hf_secret_stream_pool_new(&scene.pool), HF_OK);
	options.secret_stream_pool = scene.pool;
	options.node = scene.f.nodes[3];
	assert_int_equal(hf_dht_connector_new(&scene.connector, &options, NULL), HF_OK);
	assert_int_equal(hf_udx_socket_open(&scene.target, scene.f.nets[9], &any, &target_events, NULL, NULL), HF_OK);
	assert_int_equal(hf_puncher_new(&scene.puncher, scene.connector, is_initiator, remote_firewall, &events, NULL), HF_OK);
}

static void tear_down(void)
{
	hf_puncher_free(scene.puncher);
	assert_null(scene.connector->sockets);
	assert_int_equal(scene.connector->random_punches, 0);
	hf_udx_socket_close(scene.target);
	hf_dht_connector_free(scene.connector);
	end_network(&scene.f);
	hf_secret_stream_pool_free(scene.pool);
}

static struct hf_address target_address(void)
{
	struct hf_address address = address_of(&scene.f, 9);

	address.port = hf_udx_socket_address(scene.target)->port;
	return address;
}

/* The remote is the target, or somewhere at its host when its ports are random. */
static void meet(uint64_t firewall, bool is_verified)
{
	struct hf_dht_punch remote = {.firewall = firewall, .is_punching = true, .has_addresses = true};
	struct hf_address target = target_address();

	hf_dht_addresses_add(&remote.addresses, &target);
	hf_puncher_update_remote(scene.puncher, &remote, is_verified ? &target : NULL);
}

static void pretend(enum hf_dht_firewall firewall)
{
	run_for(&scene.f, 3 * SECOND);
	hf_dht_nat_freeze(hf_puncher_nat(scene.puncher));
	hf_puncher_nat(scene.puncher)->firewall = firewall;
}

static void test_four_nodes_or_fewer_say_what_it_is(void **state)
{
	set_up(true, HF_DHT_FIREWALL_CONSISTENT);
	hf_puncher_nat(scene.puncher)->is_firewalled = true;
	hf_puncher_nat(scene.puncher)->firewall = HF_DHT_FIREWALL_UNKNOWN;
	assert_int_equal(hf_puncher_analyse(scene.puncher, false), HF_EWAIT);
	run_for(&scene.f, SECOND);
	assert_true(scene.analysed == 1 && scene.is_stable);
	assert_int_equal(hf_puncher_nat(scene.puncher)->firewall, HF_DHT_FIREWALL_CONSISTENT);
	assert_int_equal(hf_puncher_nat(scene.puncher)->addresses.list[0].port,
		hf_udx_socket_address(hf_puncher_socket(scene.puncher)->udx)->port);
	assert_int_equal(hf_puncher_analyse(scene.puncher, false), HF_OK);
	tear_down();
}

static void test_both_random_is_no_good_and_other_sockets_are_tried(void **state)
{
	set_up(true, HF_DHT_FIREWALL_RANDOM);
	pretend(HF_DHT_FIREWALL_RANDOM);
	assert_true(hf_puncher_is_random(scene.puncher));
	assert_int_equal(hf_puncher_analyse(scene.puncher, false), HF_EADDR);
	int status = hf_puncher_analyse(scene.puncher, true);
	assert_true(status == HF_EWAIT || status == HF_OK);
	run_for(&scene.f, SECOND);
	assert_true(status == HF_OK || (scene.analysed == 1 && scene.is_stable)); /* the new one is as good as any */
	tear_down();
}

static void test_consistent_tries_each_second_and_gives_up(void **state)
{
	set_up(true, HF_DHT_FIREWALL_CONSISTENT);
	pretend(HF_DHT_FIREWALL_CONSISTENT);
	meet(HF_DHT_FIREWALL_CONSISTENT, true);
	uint64_t began_us = sim_net_now_us(scene.f.net);
	assert_true(hf_puncher_punch(scene.puncher) && hf_puncher_punch(scene.puncher));
	assert_true(hf_puncher_is_punching(scene.puncher));
	run_for(&scene.f, 20 * SECOND);
	assert_int_equal(scene.probes, HF_PUNCHER_CONSISTENT_TRIES);
	assert_int_equal(scene.aborted, 1);
	assert_in_range(scene.aborted_us - began_us, 10 * SECOND, 11 * SECOND);
	assert_false(hf_puncher_punch(scene.puncher));
	tear_down();
}

static void test_addresses_that_are_not_verified_are_tried_less(void **state)
{
	set_up(false, HF_DHT_FIREWALL_CONSISTENT);
	pretend(HF_DHT_FIREWALL_CONSISTENT);
	meet(HF_DHT_FIREWALL_OPEN, false);
	assert_true(hf_puncher_punch(scene.puncher));
	run_for(&scene.f, 30 * SECOND);
	assert_int_equal(scene.probes, 2);
	assert_int_equal(scene.aborted, 1);
	tear_down();
}

static void test_what_was_verified_stays_so(void **state)
{
	set_up(true, HF_DHT_FIREWALL_CONSISTENT);
	pretend(HF_DHT_FIREWALL_CONSISTENT);
	meet(HF_DHT_FIREWALL_CONSISTENT, true);
	meet(HF_DHT_FIREWALL_CONSISTENT, false);
	assert_true(hf_puncher_punch(scene.puncher));
	run_for(&scene.f, 3 * SECOND / 2);
	assert_int_equal(scene.probes, 2);
	tear_down();
}

static void test_an_answer_is_contact_for_who_dials(void **state)
{
	set_up(true, HF_DHT_FIREWALL_CONSISTENT);
	pretend(HF_DHT_FIREWALL_CONSISTENT);
	meet(HF_DHT_FIREWALL_CONSISTENT, true);
	scene.answers = true;
	assert_true(hf_puncher_punch(scene.puncher));
	run_for(&scene.f, SECOND / 2);
	assert_true(scene.connected == 1 && scene.probes == 1 && hf_puncher_is_connected(scene.puncher));
	run_for(&scene.f, 20 * SECOND);
	assert_true(scene.aborted == 0 && scene.probes == 1);
	tear_down();
}

static void test_who_is_dialled_answers_probes_and_nothing_else(void **state)
{
	static const uint8_t probe = 0;

	set_up(false, HF_DHT_FIREWALL_CONSISTENT);
	struct hf_address puncher = address_of(&scene.f, 3);
	puncher.port = hf_udx_socket_address(hf_puncher_socket(scene.puncher)->udx)->port;
	hf_udx_socket_send_one(scene.target, &puncher, hf_slice(&probe, 1), 0);
	run_for(&scene.f, SECOND);
	assert_true(scene.probes == 1 && scene.connected == 0);
	tear_down();
}

static void test_random_ports_take_a_verified_host_and_35_seconds(void **state)
{
	set_up(true, HF_DHT_FIREWALL_RANDOM);
	pretend(HF_DHT_FIREWALL_CONSISTENT);
	meet(HF_DHT_FIREWALL_RANDOM, false);
	assert_false(hf_puncher_punch(scene.puncher));
	meet(HF_DHT_FIREWALL_RANDOM, true);
	assert_true(hf_dht_may_punch_randomly(scene.connector));
	uint64_t began_us = sim_net_now_us(scene.f.net);
	assert_true(hf_puncher_punch(scene.puncher));
	assert_false(hf_dht_may_punch_randomly(scene.connector));
	run_for(&scene.f, 60 * SECOND);
	assert_int_equal(scene.aborted, 1);
	assert_in_range(scene.aborted_us - began_us, 34 * SECOND, 37 * SECOND);
	tear_down();
}

static void test_a_birthday_has_256_sockets_and_the_next_comes_later(void **state)
{
	set_up(false, HF_DHT_FIREWALL_CONSISTENT);
	pretend(HF_DHT_FIREWALL_RANDOM);
	meet(HF_DHT_FIREWALL_CONSISTENT, true);
	assert_true(hf_puncher_punch(scene.puncher));
	assert_int_equal(scene.connector->stats.socket_count, HF_PUNCHER_BIRTHDAY_SOCKETS);
	run_for(&scene.f, 60 * SECOND);
	assert_int_equal(scene.aborted, 1);
	assert_true(scene.probes >= HF_PUNCHER_BIRTHDAY_TRIES);
	hf_puncher_free(scene.puncher);
	scene.puncher = NULL;
	assert_int_equal(scene.connector->stats.socket_count, 0);
	assert_true(hf_dht_may_punch_randomly(scene.connector)); /* it ended 25 s ago */
	tear_down();
}

static void test_a_contact_leaves_one_socket_of_a_birthday(void **state)
{
	set_up(true, HF_DHT_FIREWALL_CONSISTENT);
	pretend(HF_DHT_FIREWALL_RANDOM);
	meet(HF_DHT_FIREWALL_CONSISTENT, true);
	assert_true(hf_puncher_punch(scene.puncher));
	run_for(&scene.f, SECOND);
	scene.answers = true;
	run_for(&scene.f, SECOND);
	assert_true(scene.connected == 1);
	assert_int_equal(scene.connector->stats.socket_count, 1);
	assert_false(hf_dht_may_punch_randomly(scene.connector));
	run_for(&scene.f, 21 * SECOND);
	assert_true(hf_dht_may_punch_randomly(scene.connector));
	tear_down();
}

static void test_what_cannot_work_is_not_begun(void **state)
{
	set_up(true, HF_DHT_FIREWALL_RANDOM);
	pretend(HF_DHT_FIREWALL_RANDOM);
	assert_false(hf_puncher_punch(scene.puncher)); /* no address */
	meet(HF_DHT_FIREWALL_RANDOM, true);
	assert_false(hf_puncher_punch(scene.puncher));
	meet(HF_DHT_FIREWALL_UNKNOWN, true);
	assert_false(hf_puncher_punch(scene.puncher));
	tear_down();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_four_nodes_or_fewer_say_what_it_is),
		cmocka_unit_test(test_both_random_is_no_good_and_other_sockets_are_tried),
		cmocka_unit_test(test_consistent_tries_each_second_and_gives_up),
		cmocka_unit_test(test_addresses_that_are_not_verified_are_tried_less),
		cmocka_unit_test(test_what_was_verified_stays_so),
		cmocka_unit_test(test_an_answer_is_contact_for_who_dials),
		cmocka_unit_test(test_who_is_dialled_answers_probes_and_nothing_else),
		cmocka_unit_test(test_random_ports_take_a_verified_host_and_35_seconds),
		cmocka_unit_test(test_a_birthday_has_256_sockets_and_the_next_comes_later),
		cmocka_unit_test(test_a_contact_leaves_one_socket_of_a_birthday),
		cmocka_unit_test(test_what_cannot_work_is_not_begun),
	};

	return hf_crypto_init() == HF_OK ? cmocka_run_group_tests(tests, NULL, NULL) : 1;
}
