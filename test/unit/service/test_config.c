/* Configuration: what is read from where, and what is refused with which words. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "service/config.h"
#include "service/worker/worker.h"
#include "support/scratch.h"

struct fixture {
	char directory[SCRATCH_PATH_BYTES], path[SCRATCH_PATH_BYTES + 16];
	struct hf_config *config;
	struct hf_failure failure;
};

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	scratch_make(f->directory);
	snprintf(f->path, sizeof f->path, "%s/c.conf", f->directory);
	assert_int_equal(hf_config_new(&f->config), HF_OK);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	hf_config_free(f->config);
	scratch_remove(f->directory);
	free(f);
	return 0;
}

static int read_text(struct fixture *f, const char *text)
{
	FILE *file = fopen(f->path, "w");
	fputs(text, file);
	fclose(file);
	f->failure = (struct hf_failure){0};
	return hf_config_read_file(f->config, f->path, &f->failure);
}

static void anew(struct fixture *f)
{
	hf_config_free(f->config);
	assert_int_equal(hf_config_new(&f->config), HF_OK);
}

static void test_defaults_are_right_and_every_default_parses(void **state)
{
	struct fixture *f = *state;
	assert_string_equal(f->config->listen, "127.0.0.1:7777");
	assert_int_equal(f->config->message_bytes_max, 1 << 20);
	assert_int_equal(f->config->relay_count, 1);
	assert_string_equal(f->config->relays[0]->instance, "main");
	assert_int_equal(f->config->relays[0]->created_at_ahead_ms, 15 * 60 * 1000);
	assert_int_equal(hf_config_check(f->config, &f->failure), HF_OK);
}

static void test_a_file_sets_sections_and_relays_in_all_spellings(void **state)
{
	struct fixture *f = *state;
	assert_int_equal(read_text(f, "; a comment\n[store]\nquota = 20 GiB ; inline\n\n[relay]\nname = Mine\n[relay two]\nnumber=2\n"
		"[relay \"three\"]\nnumber=3\npath = /x\n[relay.four]\nnumber=4\n"), HF_OK);
	assert_int_equal(f->config->quota_bytes, UINT64_C(20) << 30);
	assert_string_equal(f->config->relays[0]->name, "Mine");
	assert_int_equal(f->config->relay_count, 4);
	assert_string_equal(f->config->relays[2]->instance, "three");
	assert_string_equal(f->config->relays[2]->path, "/x");
	assert_int_equal(f->config->relays[3]->number, 4);
	assert_int_equal(hf_config_check(f->config, &f->failure), HF_OK);
}

static void test_later_places_win_and_the_origin_is_told(void **state)
{
	struct fixture *f = *state;
	char *environment[] = {"PATH=/bin", "HOLDFAST_LOG_LEVEL=debug", "HOLDFAST_RELAY_LIMIT_MAX=40", "HOLDFAST_RELAY_TWO_LIMIT_MAX=50",
		"HOLDFAST_CONFIG=/x", NULL};
	char expected[SCRATCH_PATH_BYTES + 32];
	struct hf_buffer out = {0};
	assert_int_equal(read_text(f, "[log]\nlevel = warn\njson = yes\n[relay]\nlimit_max = 30\n[relay two]\nnumber = 2\n"), HF_OK);
	assert_int_equal(hf_config_read_environment(f->config, environment, &f->failure), HF_OK);
	assert_int_equal(hf_config_set_flag(f->config, "relay-two-limit-max", "60", &f->failure), HF_OK);
	assert_int_equal(hf_config_set_flag(f->config, "listen", "127.0.0.1:0", &f->failure), HF_OK);
	assert_string_equal(f->config->log_level, "debug");
	assert_int_equal(f->config->relays[0]->limit_max, 40);
	assert_int_equal(f->config->relays[1]->limit_max, 60);
	assert_int_equal(hf_config_show(f->config, false, &out), HF_OK);
	assert_int_equal(hf_buffer_append(&out, "", 1), HF_OK);
	snprintf(expected, sizeof expected, "; %s:3\n", f->path);
	assert_non_null(strstr((char *)out.data, expected));
	assert_non_null(strstr((char *)out.data, "; HOLDFAST_LOG_LEVEL\n"));
	assert_non_null(strstr((char *)out.data, "; --relay-two-limit-max\n"));
	hf_buffer_free(&out);
}

static void test_wrong_entries_are_refused_with_their_place_and_the_nearest_name(void **state)
{
	static const struct { const char *text, *place, *words; } bad[] = {
		{"[gateway]\nlisen = x\n", ":2", "did you mean \"listen\""},
		{"[gatway]\nlisten = x\n", ":1", "did you mean [gateway]"},
		{"[store]\n\nquota = many\n", ":3", "a size like"},
		{"[relay]\nlimit_max = 0\n", ":2", "from 1 to"},
		{"[log]\njson = perhaps\n", ":2", "yes or no"},
		{"[log]\nlevel = info\nlevel = warn\n", ":3", "second time"},
		{"listen = x\n", ":1", "before the first section"},
		{"[log]\nlevel\n", ":2", "name = value"},
		{"[log]\nquota = 1\n", ":2", "belongs into [store]"},
		{"[log\n", ":1", "does not end with ]"},
		{"[relay Big Name]\nnumber = 2\n", ":1", "cannot name a relay"},
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		anew(f);
		assert_int_equal(read_text(f, bad[i].text), HF_EINVAL);
		if (!strstr(f->failure.text, bad[i].place) || !strstr(f->failure.text, bad[i].words))
			fail_msg("%s: %s", bad[i].text, f->failure.text);
	}
}

static void test_lines_that_inih_would_cut_are_refused(void **state)
{
	struct fixture *f = *state;
	char text[600] = "[relay]\ndescription = ";
	memset(text + strlen(text), 'x', 400);
	assert_int_equal(read_text(f, text), HF_EINVAL);
	assert_non_null(strstr(f->failure.text, ":2: the line is longer"));
	anew(f);
	assert_int_equal(read_text(f, ""), HF_OK);
	assert_int_equal(hf_config_read_file(f->config, "/nowhere/c.conf", &f->failure), HF_ENOTFOUND);
}

static void test_unknown_variables_and_flags_are_refused(void **state)
{
	struct fixture *f = *state;
	char *environment[] = {"HOLDFAST_STORE_QUTA=1", NULL};
	assert_int_equal(hf_config_read_environment(f->config, environment, &f->failure), HF_EINVAL);
	assert_non_null(strstr(f->failure.text, "HOLDFAST_STORE_QUOTA"));
	assert_int_equal(hf_config_set_flag(f->config, "lisen", "x", &f->failure), HF_EINVAL);
	assert_non_null(strstr(f->failure.text, "--listen"));
	assert_int_equal(hf_config_set_flag(f->config, "zzzzzzzzzzzzzz", "x", &f->failure), HF_EINVAL);
	assert_null(hf_config_find_flag(f->config, "store"));
	assert_int_equal(hf_config_find_flag(f->config, "log-json")->type, HF_SETTING_BOOL);
}

static void test_what_settings_must_meet_together(void **state)
{
	static const struct { const char *text, *words; } bad[] = {
		{"[relay two]\nname = x\n", "has no number"},
		{"[relay two]\nnumber = 1\n", "both have number 1"},
		{"[relay two]\nnumber = 2\npath=/a\n[relay three]\nnumber = 3\npath=/a\n", "both at /a"},
		{"[gateway]\ntls_listen = :443\n", "together"},
		{"[gateway]\nmetrics_listen = 127.0.0.1:9, 0.0.0.0:9777\n", "loopback"},
		{"[gateway]\nmetrics_listen = everywhere\n", "everywhere"},
		{"[log]\nlevel = loud\n", "loud"},
		{"[relay]\npublic_url = https://x\n", "wss://"},
		{"[relay]\npubkey = npub1\n", "64 small hex"},
		{"[relay]\nevent_max = 512k\n[websocket]\nmessage_max = 100k\n", "could never arrive"},
	};
	struct fixture *f = *state;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		anew(f);
		assert_int_equal(read_text(f, bad[i].text), HF_OK);
		assert_int_equal(hf_config_check(f->config, &f->failure), HF_EINVAL);
		if (!strstr(f->failure.text, bad[i].words))
			fail_msg("%s: %s", bad[i].text, f->failure.text);
	}
}

static void test_settings_are_explained_by_name_and_section(void **state)
{
	struct fixture *f = *state;
	static const char *const names[] = {NULL, "store", "quota", "relay.limit_max"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		for (int json = 0; json < 2; json++) {
			struct hf_buffer out = {0};
			assert_int_equal(hf_config_explain(names[i], json, &out, &f->failure), HF_OK);
			assert_true(out.length > 0);
			hf_buffer_free(&out);
		}
	struct hf_buffer out = {0};
	assert_int_equal(hf_config_explain("relay.limt_max", false, &out, &f->failure), HF_ENOTFOUND);
	assert_non_null(strstr(f->failure.text, "limit_max"));
	assert_int_equal(hf_config_show(f->config, true, &out), HF_OK);
	hf_buffer_free(&out);
}

static void test_delays_double_up_to_their_bound(void **state)
{
	assert_int_equal(hf_worker_backoff_ms(2000, 120000, 0), 2000);
	assert_int_equal(hf_worker_backoff_ms(2000, 120000, 3), 16000);
	assert_int_equal(hf_worker_backoff_ms(2000, 120000, 6), 120000);
	assert_int_equal(hf_worker_backoff_ms(2000, 120000, UINT32_MAX), 120000);
	assert_int_equal(hf_worker_backoff_ms(5000, 1000, 0), 1000); /* the bound is the bound */
	struct hf_config *config;
	assert_int_equal(hf_config_new(&config), HF_OK);
	assert_int_equal(config->worker_retry_ms, 2000);
	assert_int_equal(config->worker_retry_max_ms, 120000);
	assert_int_equal(config->worker_publish_retry_max_ms, 120000);
	assert_int_equal(config->worker_answer_timeout_ms, 30000);
	hf_config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_defaults_are_right_and_every_default_parses, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_a_file_sets_sections_and_relays_in_all_spellings, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_later_places_win_and_the_origin_is_told, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_wrong_entries_are_refused_with_their_place_and_the_nearest_name, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_lines_that_inih_would_cut_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_unknown_variables_and_flags_are_refused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_what_settings_must_meet_together, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_settings_are_explained_by_name_and_section, set_up, tear_down),
		cmocka_unit_test(test_delays_double_up_to_their_bound),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
