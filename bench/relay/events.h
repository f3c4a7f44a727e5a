/* events: the file that bench/gen makes, mapped, with the few fields that queries are made of. */
#ifndef HF_BENCH_EVENTS_H
#define HF_BENCH_EVENTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct hf_bench_events {
	const char *text;
	size_t text_bytes;
	uint64_t *offsets; /* count + 1 */
	size_t count;
};

struct hf_bench_event {
	const char *json;
	size_t json_bytes;
	const char *id;     /* 64 hex digits */
	const char *pubkey; /* 64 hex digits */
	int64_t created_at;
	unsigned kind;
};

/* False with a line on stderr when the file is missing, short or of another layout. */
bool hf_bench_events_open(struct hf_bench_events *events, const char *path, size_t count_min);
void hf_bench_events_close(struct hf_bench_events *events);

struct hf_bench_event hf_bench_event_at(const struct hf_bench_events *events, size_t index);

/* The first value of a one-letter tag, 64 hex digits, or NULL. */
const char *hf_bench_event_tag(const struct hf_bench_event *event, char letter);

/* A kind of which every event is kept, whatever came before or after. */
bool hf_bench_event_is_regular(const struct hf_bench_event *event);

#endif
