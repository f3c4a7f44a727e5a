/* event: what one core spends on an event between the socket and the store, in microseconds each.
 *
 *     event [EVENTS.jsonl]
 *
 * Reads up to 20,000 events, one JSON object a line (bench/gen makes such files), or makes its own: replies with e, p
 * and t tags. Each figure is the best of five passes over all of them, so the data comes from the outer caches as
 * it would in a relay. No signature is checked. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "codec/hex.h"
#include "crypto/hash.h"
#include "data/event/filter.h"

#define EVENT_COUNT_MAX 20000u
#define PASS_COUNT 5

struct bench {
	struct hf_buffer lines;            /* the JSON texts, one behind the other */
	size_t line_at[EVENT_COUNT_MAX + 1];
	struct hf_buffer payloads;
	size_t payload_at[EVENT_COUNT_MAX + 1];
	struct hf_event events[EVENT_COUNT_MAX];
	struct hf_buffer texts[EVENT_COUNT_MAX];
	size_t count;
	struct hf_filter few, many, tagged;
	uint64_t sum; /* of results, so that nothing is optimised away */
};

static void fail(const char *what)
{
	fprintf(stderr, "event: %s\n", what);
	exit(1);
}

static double now_us(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec * 1e6 + (double)time.tv_nsec / 1e3;
}

static uint64_t random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state;
}

static void append_random_hex(struct hf_buffer *out, uint64_t *random, size_t bytes)
{
	for (size_t i = 0; i < bytes; i += 8) {
		uint8_t data[8], digits[16];
		hf_store_le64(data, random_next(random));
		hf_hex_encode(digits, data, 8);
		hf_buffer_append(out, digits, 16);
	}
}

static void append_made_event(struct hf_buffer *out, uint64_t *random)
{
	static const char *const words[] = {"relay", "always", "on", "keys", "the", "peer", "asleep", "note", "a", "drive"};
	struct hf_buffer pubkey = {0}, tags = {0}, content = {0}, text = {0};
	append_random_hex(&pubkey, random, 32);
	hf_buffer_append_text(&tags, "[[\"e\",\"");
	append_random_hex(&tags, random, 32);
	hf_buffer_append_text(&tags, "\",\"wss://relay.example.com\",\"reply\"],[\"p\",\"");
	append_random_hex(&tags, random, 32);
	hf_buffer_append_text(&tags, "\"],[\"t\",\"holdfast\"]]");
	for (int i = 0; i < 20; i++)
		hf_buffer_printf(&content, "%s%s", i > 0 ? " " : "", words[random_next(random) % 10]);
	uint64_t created_at = 1700000000 + random_next(random) % 1000000;
	hf_buffer_printf(&text, "[0,\"%.64s\",%" PRIu64 ",1,%.*s,\"%.*s\"]", (char *)pubkey.data, created_at,
		(int)tags.length, (char *)tags.data, (int)content.length, (char *)content.data);
	uint8_t id[32], digits[64];
	hf_sha256(id, hf_buffer_slice(&text));
	hf_hex_encode(digits, id, 32);
	hf_buffer_printf(out, "{\"id\":\"%.64s\",\"pubkey\":\"%.64s\",\"created_at\":%" PRIu64 ",\"kind\":1,\"tags\":%.*s,"
		"\"content\":\"%.*s\",\"sig\":\"", (char *)digits, (char *)pubkey.data, created_at, (int)tags.length,
		(char *)tags.data, (int)content.length, (char *)content.data);
	append_random_hex(out, random, 64);
	hf_buffer_append_text(out, "\"}");
	hf_buffer_free(&pubkey);
	hf_buffer_free(&tags);
	hf_buffer_free(&content);
	hf_buffer_free(&text);
}

static void read_events(struct bench *bench, const char *path)
{
	FILE *file = fopen(path, "r");
	char *line = NULL;
	size_t capacity = 0;
	ssize_t length;
	if (file == NULL)
		fail("the file of events cannot be opened");
	while (bench->count < EVENT_COUNT_MAX && (length = getline(&line, &capacity, file)) > 1) {
		hf_buffer_append(&bench->lines, line, (size_t)length - 1);
		bench->line_at[++bench->count] = bench->lines.length;
	}
	free(line);
	fclose(file);
}

static void make_events(struct bench *bench)
{
	uint64_t random = 88172645463325252u;
	while (bench->count < EVENT_COUNT_MAX) {
		append_made_event(&bench->lines, &random);
		bench->line_at[++bench->count] = bench->lines.length;
	}
}

static int parse_line(struct bench *bench, size_t i, struct hf_buffer *text, struct hf_event *event)
{
	struct hf_json json;
	const char *reason;
	hf_json_init(&json, hf_slice(bench->lines.data + bench->line_at[i], bench->line_at[i + 1] - bench->line_at[i]), 8);
	return hf_event_parse(&json, text, HF_EVENT_BYTES_MAX, event, &reason);
}

static struct hf_slice payload(const struct bench *bench, size_t i)
{
	return hf_slice(bench->payloads.data + bench->payload_at[i], bench->payload_at[i + 1] - bench->payload_at[i]);
}

static void parse_filter(struct hf_filter *filter, struct hf_arena *arena, struct hf_buffer *text)
{
	struct hf_json json;
	const char *reason = "";
	hf_json_init(&json, hf_buffer_slice(text), 8);
	uint32_t items_left = HF_FILTER_ITEMS_MAX;
	if (hf_filter_parse(&json, arena, filter, &items_left, &reason) < 0)
		fail(reason);
	hf_buffer_free(text);
}

/* A filter of so many authors of which half are in the data. */
static void make_author_filter(struct bench *bench, struct hf_filter *filter, struct hf_arena *arena, size_t count)
{
	struct hf_buffer text = {0};
	uint64_t random = 7;
	for (size_t i = 0; i < count; i++) {
		hf_buffer_append_text(&text, i == 0 ? "{\"kinds\":[1,6,7],\"authors\":[\"" : "\",\"");
		uint8_t digits[64];
		hf_hex_encode(digits, bench->events[i * 31 % bench->count].pubkey, 32);
		if (i % 2 == 0)
			hf_buffer_append(&text, digits, 64);
		else
			append_random_hex(&text, &random, 32);
	}
	hf_buffer_append_text(&text, "\"]}");
	parse_filter(filter, arena, &text);
}

static void prepare(struct bench *bench, struct hf_arena *arena)
{
	struct hf_event_meta meta = {.received_ms = 1700000000000, .source = HF_SOURCE_PUBLIC};
	for (size_t i = 0; i < bench->count; i++) {
		if (parse_line(bench, i, &bench->texts[i], &bench->events[i]) < 0)
			fail("an event of the input is not valid");
		if (hf_event_pack(&bench->events[i], &meta, &bench->payloads) < 0)
			fail("out of memory");
		bench->payload_at[i + 1] = bench->payloads.length;
	}
	make_author_filter(bench, &bench->few, arena, 10);
	make_author_filter(bench, &bench->many, arena, 9000);
	struct hf_buffer text = {0};
	hf_buffer_append_text(&text, "{\"#t\":[\"nothing\",\"of\",\"that\"],\"kinds\":[0,1,6,7,1111,9735,30023]}");
	parse_filter(&bench->tagged, arena, &text);
}

static void run_hash(struct bench *bench, struct hf_buffer *scratch, const struct hf_filter *filter)
{
	(void)filter;
	(void)scratch;
	for (size_t i = 0; i < bench->count; i++) {
		uint8_t hash[32];
		hf_sha256(hash, hf_buffer_slice(&bench->texts[i]));
		bench->sum += hash[0];
	}
}

static void run_parse(struct bench *bench, struct hf_buffer *scratch, const struct hf_filter *filter)
{
	(void)filter;
	struct hf_event event;
	for (size_t i = 0; i < bench->count; i++) {
		hf_buffer_clear(scratch);
		bench->sum += (uint64_t)(parse_line(bench, i, scratch, &event) == HF_OK);
	}
}

static void run_pack(struct bench *bench, struct hf_buffer *scratch, const struct hf_filter *filter)
{
	(void)filter;
	struct hf_event_meta meta = {.received_ms = 1700000000000, .source = HF_SOURCE_PUBLIC};
	for (size_t i = 0; i < bench->count; i++) {
		hf_buffer_clear(scratch);
		hf_event_pack(&bench->events[i], &meta, scratch);
		bench->sum += scratch->length;
	}
}

static void run_unpack(struct bench *bench, struct hf_buffer *scratch, const struct hf_filter *filter)
{
	(void)filter;
	struct hf_event event;
	for (size_t i = 0; i < bench->count; i++) {
		hf_buffer_clear(scratch);
		hf_event_unpack(payload(bench, i), scratch, &event, NULL);
		bench->sum += event.tags.length;
	}
}

static void run_head(struct bench *bench, struct hf_buffer *scratch, const struct hf_filter *filter)
{
	(void)filter;
	struct hf_event event;
	(void)scratch;
	for (size_t i = 0; i < bench->count; i++) {
		hf_event_unpack_head(payload(bench, i), &event, NULL);
		bench->sum += event.kind;
	}
}

static void run_payload_to_json(struct bench *bench, struct hf_buffer *scratch, const struct hf_filter *filter)
{
	(void)filter;
	for (size_t i = 0; i < bench->count; i++) {
		hf_buffer_clear(scratch);
		hf_event_payload_to_json(payload(bench, i), scratch);
		bench->sum += scratch->length;
	}
}

static void run_to_json(struct bench *bench, struct hf_buffer *scratch, const struct hf_filter *filter)
{
	(void)filter;
	for (size_t i = 0; i < bench->count; i++) {
		hf_buffer_clear(scratch);
		hf_event_to_json(&bench->events[i], scratch);
		bench->sum += scratch->length;
	}
}

static void run_match(struct bench *bench, struct hf_buffer *scratch, const struct hf_filter *filter)
{
	(void)scratch;
	for (size_t i = 0; i < bench->count; i++)
		bench->sum += hf_filter_matches(filter, &bench->events[i]);
}

static void run_match_stored(struct bench *bench, struct hf_buffer *scratch, const struct hf_filter *filter)
{
	(void)scratch;
	for (size_t i = 0; i < bench->count; i++)
		bench->sum += hf_filter_matches_payload(filter, payload(bench, i));
}

int main(int argc, char **argv)
{
	struct bench *bench = calloc(1, sizeof *bench);
	if (bench == NULL || hf_crypto_init() < 0)
		fail("cannot start");
	const struct {
		const char *name;
		void (*run)(struct bench *bench, struct hf_buffer *scratch, const struct hf_filter *filter);
		const struct hf_filter *filter;
	} runs[] = {
		{"SHA-256 of the canonical text", run_hash, NULL},
		{"parse, canonical text, hash checked", run_parse, NULL},
		{"pack", run_pack, NULL},
		{"unpack, all checked", run_unpack, NULL},
		{"unpack the head", run_head, NULL},
		{"stored form to JSON", run_payload_to_json, NULL},
		{"parsed event to JSON", run_to_json, NULL},
		{"match 10 authors", run_match, &bench->few},
		{"match 9,000 authors", run_match, &bench->many},
		{"match a tag without a hit", run_match, &bench->tagged},
		{"match 10 authors, stored form", run_match_stored, &bench->few},
		{"match 9,000 authors, stored form", run_match_stored, &bench->many},
		{"match a tag without a hit, stored form", run_match_stored, &bench->tagged},
	};
	struct hf_buffer scratch = {0};
	struct hf_arena arena = {0};
	if (argc > 1)
		read_events(bench, argv[1]);
	else
		make_events(bench);
	if (bench->count == 0)
		fail("the file holds no events");
	prepare(bench, &arena);
	double count = (double)bench->count;
	printf("%zu events, %.0f B of JSON, %.0f B stored on average\n", bench->count, (double)bench->lines.length / count,
		(double)bench->payloads.length / count);
	for (size_t r = 0; r < sizeof runs / sizeof *runs; r++) {
		double best = 1e300;
		for (int pass = 0; pass < PASS_COUNT; pass++) {
			double start = now_us();
			runs[r].run(bench, &scratch, runs[r].filter);
			double taken = now_us() - start;
			best = taken < best ? taken : best;
		}
		printf("%-42s %7.3f us\n", runs[r].name, best / count);
	}
	for (size_t i = 0; i < bench->count; i++)
		hf_buffer_free(&bench->texts[i]);
	hf_buffer_free(&bench->lines);
	hf_buffer_free(&bench->payloads);
	hf_buffer_free(&scratch);
	hf_arena_free(&arena);
	uint64_t sum = bench->sum;
	free(bench);
	return sum == 0;
}
