/* admin_guard: who is let in to administration over HTTP, once, and who is kept off after too many failures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "codec/bech32.h"
#include "codec/hex.h"
#include "service/gateway/admin_guard.h"
#include "support/fail_alloc.h"
#include "support/scratch.h"
#include "wire/nip98.h"

#define URL "https://relay.example.org/api/admin/stats"
#define TOKEN "0123456789abcdef0123456789abcdef"

static uint64_t clock_us, wall_ms;
static uint64_t fake_monotonic(struct hf_env *env) { return clock_us; }
static uint64_t fake_wall(struct hf_env *env) { return wall_ms; }

static const uint8_t ours[32] = {[31] = 5}, others[32] = {[31] = 6};

struct fixture {
	struct hf_env env;
	struct hf_schnorr *schnorr;
	struct hf_admin_guard *guard;
	struct hf_admin_guard_options options;
	struct hf_address address;
	struct hf_buffer field;
	char directory[SCRATCH_PATH_BYTES], token_path[SCRATCH_PATH_BYTES + 16], npub[HF_BECH32_KEY_TEXT_BYTES];
};

static void pass_ms(uint64_t ms)
{
	clock_us += ms * 1000;
	wall_ms += ms;
}

static void put_token(struct fixture *f, const char *text)
{
	FILE *file = fopen(f->token_path, "w");
	fputs(text, file);
	fclose(file);
	chmod(f->token_path, 0600);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof *f);
	struct hf_failure failure = {0};
	uint8_t key[32];
	clock_us = 1000000000;
	wall_ms = 1700000000000;
	hf_env_system(&f->env);
	f->env.monotonic_us = fake_monotonic;
	f->env.wall_ms = fake_wall;
	assert_int_equal(hf_schnorr_new(&f->schnorr, &f->env, 0), HF_OK);
	assert_int_equal(hf_schnorr_public_key(f->schnorr, key, ours), HF_OK);
	hf_bech32_encode_key(f->npub, "npub", key);
	scratch_make(f->directory);
	snprintf(f->token_path, sizeof f->token_path, "%s/token", f->directory);
	put_token(f, TOKEN "\n");
	assert_int_equal(hf_address_parse("192.0.2.1:9", &f->address, NULL), HF_OK);
	f->options = (struct hf_admin_guard_options){.size = sizeof f->options, .env = &f->env, .keys = f->npub, .token_file = f->token_path,
		.certificates = ""};
	assert_int_equal(hf_admin_guard_new(&f->guard, &f->options, &failure), HF_OK);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;
	hf_admin_guard_free(f->guard);
	hf_schnorr_free(f->schnorr);
	hf_buffer_free(&f->field);
	scratch_remove(f->directory);
	free(f);
	return 0;
}

/* How an attempt ends: the name of who is let in, or of the refusal. */
static const char *attempt(struct fixture *f, const struct hf_admin_attempt *a)
{
	static char refused[32];
	const char *who;
	enum hf_admin_refusal refusal;
	if (hf_admin_guard_check(f->guard, a, &who, &refusal) == HF_OK)
		return who;
	assert_null(who);
	snprintf(refused, sizeof refused, "no: %s", hf_admin_refusal_name(refusal));
	return refused;
}

static const char *show(struct fixture *f, const char *authorization)
{
	return attempt(f, &(struct hf_admin_attempt){.address = &f->address, .method = HF_SLICE_LITERAL("GET"), .url = HF_SLICE_LITERAL(URL),
		.authorization = authorization ? hf_slice_text(authorization) : (struct hf_slice){0}});
}

static const char *sign(struct fixture *f, const uint8_t secret[static 32], uint64_t now_s)
{
	struct hf_nip98_request request = {.method = HF_SLICE_LITERAL("GET"), .url = HF_SLICE_LITERAL(URL), .now_s = now_s};
	hf_buffer_clear(&f->field);
	assert_int_equal(hf_nip98_make(&f->field, f->schnorr, secret, &request), HF_OK);
	assert_int_equal(hf_buffer_append(&f->field, "", 1), HF_OK);
	return (const char *)f->field.data;
}

static void test_the_token_lets_in_and_no_other(void **state)
{
	struct fixture *f = *state;
	assert_string_equal(show(f, "Bearer " TOKEN), "token");
	assert_string_equal(show(f, "bearer " TOKEN), "token");
	assert_string_equal(show(f, "Bearer " TOKEN "0"), "no: token");
	assert_string_equal(show(f, "Bearer "), "no: token");
	assert_int_equal(hf_admin_guard_refused(f->guard, HF_ADMIN_TOKEN), 2);
	assert_string_equal(show(f, NULL), "no: missing");
	assert_string_equal(show(f, ""), "no: signature");
	assert_string_equal(show(f, "Basic " TOKEN), "no: signature");
}

static void test_a_key_that_is_named_lets_in_once_with_each_event(void **state)
{
	struct fixture *f = *state;
	const char *field = sign(f, ours, wall_ms / 1000);
	assert_string_equal(show(f, field), f->npub);
	assert_string_equal(show(f, field), "no: replayed");
	pass_ms(1000);
	assert_string_equal(show(f, sign(f, ours, wall_ms / 1000)), f->npub);
	assert_string_equal(show(f, sign(f, others, wall_ms / 1000)), "no: signature");
	assert_string_equal(show(f, sign(f, ours, wall_ms / 1000 + 61)), "no: signature");
	pass_ms(30000);
	assert_string_equal(show(f, sign(f, ours, wall_ms / 1000 - 40)), "no: signature"); /* before the start */
}

static void test_events_are_remembered_as_long_as_they_could_be_shown(void **state)
{
	struct fixture *f = *state;
	char *early = strdup(sign(f, ours, wall_ms / 1000 + 60));
	assert_string_equal(show(f, early), f->npub);
	pass_ms(120000);
	assert_string_equal(show(f, sign(f, ours, wall_ms / 1000)), f->npub); /* looks through those that are over */
	assert_string_equal(show(f, early), "no: replayed");
	pass_ms(1000);
	assert_string_equal(show(f, early), "no: signature");
	free(early);
}

static void test_no_more_signatures_are_taken_than_can_be_remembered(void **state)
{
	struct fixture *f = *state;
	struct hf_nip98_request request = {.method = HF_SLICE_LITERAL("GET"), .now_s = wall_ms / 1000};
	struct hf_admin_attempt a = {.address = &f->address, .method = request.method};
	char url[64];
	for (int i = 0; i <= HF_ADMIN_SEEN_COUNT_MAX; i++) {
		snprintf(url, sizeof url, "http://127.0.0.1/%d", i);
		request.url = a.url = hf_slice_text(url);
		hf_buffer_clear(&f->field);
		assert_int_equal(hf_nip98_make(&f->field, f->schnorr, ours, &request), HF_OK);
		a.authorization = hf_buffer_slice(&f->field);
		assert_string_equal(attempt(f, &a), i < HF_ADMIN_SEEN_COUNT_MAX ? f->npub : "no: replayed");
	}
	pass_ms(61000);
	assert_string_equal(show(f, sign(f, ours, wall_ms / 1000)), f->npub);
}

static void test_without_a_url_that_is_known_no_signature_is_right(void **state)
{
	struct fixture *f = *state;
	struct hf_admin_attempt a = {.address = &f->address, .method = HF_SLICE_LITERAL("GET")};
	a.authorization = hf_slice_text(sign(f, ours, wall_ms / 1000));
	assert_string_equal(attempt(f, &a), "no: signature");
	a.url = HF_SLICE_LITERAL("https://elsewhere.example/api/admin/stats");
	assert_string_equal(attempt(f, &a), "no: signature");
}

static void test_pages_of_other_origins_are_refused_whatever_they_show(void **state)
{
	struct fixture *f = *state;
	struct hf_admin_attempt a = {.address = &f->address, .method = HF_SLICE_LITERAL("POST"), .authorization = HF_SLICE_LITERAL("Bearer " TOKEN),
		.is_foreign = true};
	for (int i = 0; i < 20; i++)
		assert_string_equal(attempt(f, &a), "no: foreign");
	a.is_foreign = false;
	assert_string_equal(attempt(f, &a), "token");
}

static void test_an_address_with_ten_failures_waits_until_the_minute_is_over(void **state)
{
	struct fixture *f = *state;
	struct hf_address other, ipv6, neighbour, failing;
	struct hf_admin_attempt a = {.authorization = HF_SLICE_LITERAL("Bearer " TOKEN)};
	uint32_t failures;
	size_t cursor = 0;
	for (int i = 0; i < HF_ADMIN_FAILURES_MAX; i++)
		show(f, "Bearer wrong");
	assert_int_equal(hf_admin_guard_refused(f->guard, HF_ADMIN_TOKEN), HF_ADMIN_FAILURES_MAX);
	assert_string_equal(show(f, "Bearer " TOKEN), "no: throttled");
	assert_true(hf_admin_guard_next_failing(f->guard, &cursor, &failing, &failures));
	assert_memory_equal(failing.ip, f->address.ip, 16);
	assert_int_equal(failures, HF_ADMIN_FAILURES_MAX);
	assert_false(hf_admin_guard_next_failing(f->guard, &cursor, &failing, &failures));
	hf_address_parse("192.0.2.2:9", &other, NULL);
	a.address = &other;
	assert_string_equal(attempt(f, &a), "token");
	pass_ms(59000);
	assert_string_equal(show(f, "Bearer " TOKEN), "no: throttled");
	pass_ms(1000);
	assert_string_equal(show(f, "Bearer " TOKEN), "token");
	/* A subscriber of IPv6 has a whole /64. */
	hf_address_parse("[2001:db8::1]:9", &ipv6, NULL);
	hf_address_parse("[2001:db8::ffff]:9", &neighbour, NULL);
	a.address = &ipv6;
	a.authorization = HF_SLICE_LITERAL("Bearer wrong");
	for (int i = 0; i < HF_ADMIN_FAILURES_MAX; i++)
		attempt(f, &a);
	a.address = &neighbour;
	assert_string_equal(attempt(f, &a), "no: throttled");
}

static void test_credentials_are_read_again_and_wrong_ones_change_nothing(void **state)
{
	struct fixture *f = *state;
	struct hf_failure failure = {0};
	bool was_changed;
	char hex[65] = {0};
	uint8_t key[32];
	assert_int_equal(hf_admin_guard_reconfigure(f->guard, &f->options, &was_changed, &failure), HF_OK);
	assert_false(was_changed);
	chmod(f->token_path, 0640);
	assert_int_equal(hf_admin_guard_reconfigure(f->guard, &f->options, &was_changed, &failure), HF_EDENIED);
	assert_string_equal(show(f, "Bearer " TOKEN), "token");
	put_token(f, "short\n");
	assert_int_equal(hf_admin_guard_reconfigure(f->guard, &f->options, &was_changed, &failure), HF_EINVAL);
	put_token(f, "with blanks in it, but long enough for one\n");
	assert_int_equal(hf_admin_guard_reconfigure(f->guard, &f->options, &was_changed, &failure), HF_EINVAL);
	remove(f->token_path);
	assert_int_equal(hf_admin_guard_reconfigure(f->guard, &f->options, &was_changed, &failure), HF_ENOTFOUND);
	f->options.keys = "npub1nonsense";
	assert_int_equal(hf_admin_guard_reconfigure(f->guard, &f->options, &was_changed, &failure), HF_EINVAL);
	assert_string_equal(show(f, "Bearer " TOKEN), "token");
	hf_schnorr_public_key(f->schnorr, key, others);
	hf_hex_encode(hex, key, 32);
	f->options.keys = hex;
	f->options.token_file = "";
	assert_int_equal(hf_admin_guard_reconfigure(f->guard, &f->options, &was_changed, &failure), HF_OK);
	assert_true(was_changed);
	assert_int_equal(hf_admin_guard_refused(f->guard, HF_ADMIN_TOKEN), 0);
	show(f, "Bearer " TOKEN);
	assert_int_equal(hf_admin_guard_refused(f->guard, HF_ADMIN_TOKEN), 1);
	assert_string_equal(show(f, sign(f, ours, wall_ms / 1000)), "no: signature");
	assert_memory_equal(show(f, sign(f, others, wall_ms / 1000)), "npub1", 5);
}

/* What a connection with this certificate is answered, as show does. */
static const char *show_certificate(struct fixture *f, const struct hf_tls_client *certificate, const char *field, bool is_foreign)
{
	static char told[64];
	struct hf_admin_attempt attempt = {.address = &f->address, .certificate = certificate, .method = HF_SLICE_LITERAL("GET"),
		.url = HF_SLICE_LITERAL(URL), .is_foreign = is_foreign};
	enum hf_admin_refusal refusal;
	const char *who;
	if (field)
		attempt.authorization = hf_slice_text(field);
	if (hf_admin_guard_check(f->guard, &attempt, &who, &refusal) == HF_OK)
		return who;
	snprintf(told, sizeof told, "no: %s", hf_admin_refusal_name(refusal));
	return told;
}

static void test_a_certificate_that_is_named_lets_in_and_no_other(void **state)
{
	struct fixture *f = *state;
	struct hf_failure failure = {0};
	bool was_changed;
	struct hf_tls_client ada = {.subject = "CN=ada,O=Village"}, bob = {.subject = "CN=bob"}, nobody = {0}, almost = {.subject = "CN=ada,O=Villag"};
	char list[256], digits[2 * 32 + 1] = {0};
	memset(bob.fingerprint, 0xab, sizeof bob.fingerprint);
	hf_hex_encode(digits, bob.fingerprint, sizeof bob.fingerprint);
	assert_string_equal(show_certificate(f, &ada, NULL, false), "no: certificate");

	snprintf(list, sizeof list, " CN=ada,O=Village |%s", digits);
	f->options.certificates = list;
	assert_int_equal(hf_admin_guard_reconfigure(f->guard, &f->options, &was_changed, &failure), HF_OK);
	assert_true(was_changed);
	assert_string_equal(show_certificate(f, &ada, NULL, false), "certificate CN=ada,O=Village");
	assert_memory_equal(show_certificate(f, &bob, NULL, false), "certificate abababab", 20);
	assert_string_equal(show_certificate(f, &almost, NULL, false), "no: certificate");
	assert_string_equal(show_certificate(f, &nobody, NULL, false), "no: certificate");
	assert_string_equal(show_certificate(f, NULL, NULL, false), "no: missing");
	assert_string_equal(show_certificate(f, &ada, NULL, true), "no: foreign");
	/* What is said aloud counts before what the connection has. */
	assert_string_equal(show_certificate(f, &ada, "Bearer " TOKEN, false), "token");
	assert_string_equal(show_certificate(f, &ada, "Bearer wrong", false), "no: token");
	/* It is no failure that the address pays for. */
	for (int i = 0; i < 2 * HF_ADMIN_FAILURES_MAX; i++)
		show_certificate(f, &nobody, NULL, false);
	assert_string_equal(show_certificate(f, &nobody, "Bearer " TOKEN, false), "token");

	assert_int_equal(hf_admin_guard_reconfigure(f->guard, &f->options, &was_changed, &failure), HF_OK);
	assert_false(was_changed);
	f->options.certificates = "CN=ada|nonsense";
	assert_int_equal(hf_admin_guard_reconfigure(f->guard, &f->options, &was_changed, &failure), HF_EINVAL);
	assert_non_null(strstr(failure.text, "nonsense"));
	assert_string_equal(show_certificate(f, &ada, NULL, false), "certificate CN=ada,O=Village");
	f->options.certificates = "AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB:AB";
	assert_int_equal(hf_admin_guard_reconfigure(f->guard, &f->options, &was_changed, &failure), HF_OK);
	assert_memory_equal(show_certificate(f, &bob, NULL, false), "certificate AB:AB", 17);
	assert_string_equal(show_certificate(f, &ada, NULL, false), "no: certificate");
}

static void test_a_token_file_is_made_once_and_for_its_owner(void **state)
{
	struct fixture *f = *state;
	struct hf_failure failure = {0};
	struct hf_buffer token = {0};
	struct stat status;
	char path[SCRATCH_PATH_BYTES + 16];
	snprintf(path, sizeof path, "%s/new", f->directory);
	assert_int_equal(hf_admin_token_make(&f->env, path, &failure), HF_OK);
	assert_int_equal(stat(path, &status), 0);
	assert_int_equal(status.st_mode & 0777, 0600);
	assert_int_equal(hf_admin_token_read(&f->env, path, &token, &failure), HF_OK);
	assert_int_equal(token.length, 64);
	assert_int_equal(hf_admin_token_make(&f->env, path, &failure), HF_EEXISTS);
	snprintf(path, sizeof path, "%s/nowhere/new", f->directory);
	assert_int_equal(hf_admin_token_make(&f->env, path, &failure), HF_EIO);
	hf_buffer_free(&token);
}

static void test_short_of_memory(void **state)
{
	struct fixture *f = *state;
	struct hf_failure failure = {0};
	struct hf_admin_guard *guard = NULL;
	int r = HF_ENOMEM;
	for (uint64_t n = 1; r != HF_OK && n < 50; n++) {
		fail_alloc_arm(n, false);
		r = hf_admin_guard_new(&guard, &f->options, &failure);
		fail_alloc_disarm();
		assert_true(r == HF_OK || r == HF_ENOMEM);
	}
	assert_int_equal(r, HF_OK);
	hf_admin_guard_free(guard);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_the_token_lets_in_and_no_other),
		TEST(test_a_key_that_is_named_lets_in_once_with_each_event),
		TEST(test_events_are_remembered_as_long_as_they_could_be_shown),
		TEST(test_no_more_signatures_are_taken_than_can_be_remembered),
		TEST(test_without_a_url_that_is_known_no_signature_is_right),
		TEST(test_pages_of_other_origins_are_refused_whatever_they_show),
		TEST(test_an_address_with_ten_failures_waits_until_the_minute_is_over),
		TEST(test_credentials_are_read_again_and_wrong_ones_change_nothing),
		TEST(test_a_certificate_that_is_named_lets_in_and_no_other),
		TEST(test_a_token_file_is_made_once_and_for_its_owner),
		TEST(test_short_of_memory),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
