/* What workers tell of themselves, and the handshakes: JSON as Hypertuna writes it, what is absent, wrong or too much. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "codec/hex.h"
#include "support/fail_alloc.h"
#include "wire/relay_channel.h"

#define KEY "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f"

static int parse(const char *json, struct hf_telemetry *telemetry)
{
	return hf_telemetry_parse(hf_slice_text(json), telemetry);
}

static void test_telemetry_is_read_as_hypertuna_sends_it(void **state)
{
	struct hf_telemetry t;
	uint8_t key[32];

	assert_int_equal(parse("{\"peerId\":\"ab\",\"latencyMs\":0,\"inFlightJobs\":3,\"failureRate\":0.25,\"hyperbeeVersion\":7,"
		"\"hyperbeeLag\":2,\"hyperbeeContiguousLength\":5,\"hyperbeeLength\":9,\"hyperbeeLastUpdatedAt\":1700000000123,"
		"\"hyperbeeKey\":\"" KEY "\",\"hyperbeeDiscoveryKey\":null,\"queueDepth\":4,\"reportedAt\":1700000000456.7,"
		"\"hyperbeeServed\":11,\"hyperbeeServedEvents\":12,\"hyperbeeFallbacks\":13,\"hyperbeeErrors\":14,"
		"\"hyperbeeLastFallbackReason\":{\"a\":[1,2]},\"tokenExpiresAt\":99,\"delegateReqToPeers\":true}", &t), HF_OK);
	hf_hex_decode(key, KEY, 32);
	assert_true(t.has_bee_key);
	assert_memory_equal(t.bee_key, key, 32);
	assert_int_equal(t.in_flight_jobs, 3);
	assert_int_equal(t.queue_depth, 4);
	assert_true(t.failure_rate == 0.25);
	assert_int_equal(t.bee_length, 9);
	assert_int_equal(t.bee_contiguous_length, 5);
	assert_int_equal(t.bee_lag, 2);
	assert_int_equal(t.bee_version, 7);
	assert_int_equal(t.bee_updated_at_ms, 1700000000123);
	assert_int_equal(t.reported_at_ms, 1700000000456);
	assert_int_equal(t.bee_served, 11);
	assert_int_equal(t.bee_served_events, 12);
	assert_int_equal(t.bee_fallbacks, 13);
	assert_int_equal(t.bee_errors, 14);
	assert_int_equal(t.token_expires_at_ms, 99);
	assert_true(t.delegates_requests);
}

static void test_numbers_are_cut_to_their_bounds(void **state)
{
	struct hf_telemetry t;

	assert_int_equal(parse("{\"latencyMs\":1e300,\"inFlightJobs\":4000000000,\"hyperbeeLength\":1e18}", &t), HF_OK);
	assert_int_equal(t.latency_ms, HF_TELEMETRY_LATENCY_MS_MAX);
	assert_int_equal(t.in_flight_jobs, HF_TELEMETRY_JOBS_MAX);
	assert_int_equal(t.bee_length, (UINT64_C(1) << 53) - 1);
}

static void test_telemetry_that_is_wrong_is_refused(void **state)
{
	static const char *const wrong[] = {"", "7", "[]", "{", "{\"latencyMs\":-1}", "{\"failureRate\":1.5}", "{\"failureRate\":\"0\"}",
		"{\"queueDepth\":{}}", "{\"hyperbeeKey\":\"00\"}", "{\"delegateReqToPeers\":1}", "{\"a\":1}x",
		"{\"hyperbeeKey\":\"zz0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\"}"};
	static char large[HF_TELEMETRY_BYTES_MAX + 1];
	struct hf_telemetry t;

	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
		assert_int_equal(parse(wrong[i], &t), HF_EMALFORMED);
	memset(large, ' ', sizeof large);
	assert_int_equal(hf_telemetry_parse(hf_slice(large, sizeof large), &t), HF_ETOOBIG);
	large[0] = '{';
	large[HF_TELEMETRY_BYTES_MAX - 1] = '}';
	assert_int_equal(hf_telemetry_parse(hf_slice(large, HF_TELEMETRY_BYTES_MAX), &t), HF_OK);
}

static void test_what_is_written_is_read_again(void **state)
{
	struct hf_telemetry t = {.latency_ms = 1,
				    .in_flight_jobs = 2,
				    .queue_depth = 3,
				    .failure_rate = 0.125,
				    .has_bee_key = true,
				    .bee_key = {1},
				    .bee_discovery_key = {2},
				    .bee_length = 4,
				    .bee_contiguous_length = 5,
				    .bee_lag = 6,
				    .bee_version = 7,
				    .bee_updated_at_ms = 8,
				    .bee_served = 9,
				    .bee_served_events = 10,
				    .bee_fallbacks = 11,
				    .bee_errors = 12,
				    .reported_at_ms = 13,
				    .token_expires_at_ms = 14,
				    .delegates_requests = true},
			    again;
	struct hf_buffer text = {0};
	static const uint8_t peer[32] = {0xab};

	assert_int_equal(hf_telemetry_write(&t, peer, &text), HF_OK);
	assert_int_equal(hf_telemetry_parse(hf_buffer_slice(&text), &again), HF_OK);
	assert_memory_equal(t.bee_key, again.bee_key, 32);
	assert_memory_equal(t.bee_discovery_key, again.bee_discovery_key, 32);
	assert_true(again.failure_rate == 0.125 && again.latency_ms == 1 && again.in_flight_jobs == 2 && again.queue_depth == 3);
	assert_true(again.bee_length == 4 && again.bee_contiguous_length == 5 && again.bee_lag == 6 && again.bee_version == 7);
	assert_true(again.bee_updated_at_ms == 8 && again.bee_served == 9 && again.bee_served_events == 10 && again.bee_fallbacks == 11);
	assert_true(again.bee_errors == 12 && again.reported_at_ms == 13 && again.token_expires_at_ms == 14 && again.delegates_requests);
	t.failure_rate = 1;
	hf_buffer_clear(&text);
	assert_int_equal(hf_telemetry_write(&t, peer, &text), HF_OK);
	assert_int_equal(hf_telemetry_parse(hf_buffer_slice(&text), &again), HF_OK);
	assert_true(again.failure_rate == 1);
	hf_buffer_free(&text);
	for (uint64_t n = 1;; n++) {
		struct hf_buffer out = {0};
		fail_alloc_arm(n, false);
		int status = hf_telemetry_write(&t, peer, &out);
		bool failed = fail_alloc_disarm();
		hf_buffer_free(&out);
		assert_int_equal(status, failed ? HF_ENOMEM : HF_OK);
		if (!failed)
			break;
	}
}

static void test_handshakes_are_read_whatever_else_is_in_them(void **state)
{
	struct hf_relay_handshake h;

	assert_int_equal(hf_relay_handshake_parse(hf_slice_text("{\"version\":\"2.0\",\"isServer\":true,\"capabilities\":[\"http\","
		"\"websocket\",{\"x\":1},\"health\",\"telemetry\",\"stream\",\"other\"],\"isGateway\":false,\"role\":\"gateway-replica\","
		"\"gatewayReplica\":true,\"relayPublicKey\":\"x\",\"hyperbeeKey\":null,\"hyperbeeLength\":\"?\",\"hyperbeeLag\":3,"
		"\"telemetry\":{\"a\":1}}"), &h), HF_OK);
	assert_int_equal(h.role, HF_RELAY_ROLE_REPLICA);
	assert_int_equal(h.capabilities, HF_RELAY_CAPABILITIES | HF_RELAY_STREAM);
	assert_true(h.is_server && !h.bee.has_key && h.bee.length == 0 && h.bee.lag == 3);
	assert_int_equal(hf_relay_handshake_parse(hf_slice_text("{\"isGateway\":true}"), &h), HF_OK);
	assert_int_equal(h.role, HF_RELAY_ROLE_GATEWAY);
	assert_int_equal(hf_relay_handshake_parse(hf_slice_text("{\"gatewayReplica\":true}"), &h), HF_OK);
	assert_int_equal(h.role, HF_RELAY_ROLE_REPLICA);
	assert_int_equal(hf_relay_handshake_parse(hf_slice_text("{}"), &h), HF_OK);
	assert_int_equal(h.role, HF_RELAY_ROLE_OTHER);
	assert_int_equal(hf_relay_handshake_parse(hf_slice_text("[]"), &h), HF_EMALFORMED);
}

static void test_a_handshake_that_is_written_is_read_again(void **state)
{
	struct hf_relay_handshake h = {.role = HF_RELAY_ROLE_GATEWAY, .is_server = true, .capabilities = HF_RELAY_CAPABILITIES,
		.bee = {.has_key = true, .key = {1}, .discovery_key = {2}, .length = 3, .contiguous_length = 4, .lag = 5, .version = 6,
			.updated_at_ms = 7}, .members = HF_SLICE_LITERAL("\"dispatcherEnabled\":true")}, again;
	struct hf_buffer text = {0};

	assert_int_equal(hf_relay_handshake_write(&h, &text), HF_OK);
	assert_int_equal(hf_relay_handshake_parse(hf_buffer_slice(&text), &again), HF_OK);
	assert_true(again.role == h.role && again.is_server && again.capabilities == h.capabilities);
	assert_memory_equal(&again.bee, &h.bee, sizeof h.bee);
	assert_non_null(memmem(again.members.data, again.members.length, "\"dispatcherEnabled\":true", 24));
	hf_buffer_clear(&text);
	h = (struct hf_relay_handshake){0};
	assert_int_equal(hf_relay_handshake_write(&h, &text), HF_OK);
	assert_int_equal(hf_buffer_append(&text, "", 1), HF_OK);
	assert_string_equal((char *)text.data, "{\"version\":\"2.0\",\"isServer\":false,\"capabilities\":[],"
					       "\"isGateway\":false,\"gatewayReplica\":false,\"role\":\"client\"}");
	hf_buffer_free(&text);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_telemetry_is_read_as_hypertuna_sends_it),
		cmocka_unit_test(test_numbers_are_cut_to_their_bounds),
		cmocka_unit_test(test_telemetry_that_is_wrong_is_refused),
		cmocka_unit_test(test_what_is_written_is_read_again),
		cmocka_unit_test(test_handshakes_are_read_whatever_else_is_in_them),
		cmocka_unit_test(test_a_handshake_that_is_written_is_read_again),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
