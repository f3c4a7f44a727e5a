/* events: see events.h. gen writes the fields in one order, so each begins at a fixed place in its line. */
#include "events.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define ID_AT 7u
#define PUBKEY_AT 83u
#define CREATED_AT_AT 162u
#define KIND_AT 180u

static bool index_lines(struct hf_bench_events *events)
{
	size_t capacity = events->text_bytes / 400 + 2;
	events->offsets = malloc(capacity * sizeof(*events->offsets));
	if (!events->offsets)
		return false;
	size_t at = 0;
	while (at < events->text_bytes && events->count + 1 < capacity) {
		const char *end = memchr(events->text + at, '\n', events->text_bytes - at);
		if (!end)
			break;
		events->offsets[events->count++] = at;
		at = (size_t)(end - events->text) + 1;
	}
	events->offsets[events->count] = at;
	return true;
}

bool hf_bench_events_open(struct hf_bench_events *events, const char *path, size_t count_min)
{
	*events = (struct hf_bench_events){0};
	struct stat status;
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &status) || status.st_size == 0) {
		fprintf(stderr, "relay: cannot read %s\n", path);
		if (fd >= 0)
			close(fd);
		return false;
	}
	events->text_bytes = (size_t)status.st_size;
	void *map = mmap(NULL, events->text_bytes, PROT_READ, MAP_PRIVATE | MAP_POPULATE, fd, 0);
	close(fd);
	events->text = map == MAP_FAILED ? NULL : map;
	if (!events->text || !index_lines(events) || events->count < count_min ||
		memcmp(events->text + KIND_AT - 8, ",\"kind\":", 8)) {
		fprintf(stderr, "relay: %s holds %zu events of the %zu wanted, or is not of bench/gen\n", path,
			events->count, count_min);
		hf_bench_events_close(events);
		return false;
	}
	return true;
}

void hf_bench_events_close(struct hf_bench_events *events)
{
	if (events->text)
		munmap((void *)(uintptr_t)events->text, events->text_bytes);
	free(events->offsets);
	*events = (struct hf_bench_events){0};
}

struct hf_bench_event hf_bench_event_at(const struct hf_bench_events *events, size_t index)
{
	const char *json = events->text + events->offsets[index];
	return (struct hf_bench_event){
		.json = json,
		.json_bytes = (size_t)(events->offsets[index + 1] - events->offsets[index] - 1),
		.id = json + ID_AT,
		.pubkey = json + PUBKEY_AT,
		.created_at = strtoll(json + CREATED_AT_AT, NULL, 10),
		.kind = (unsigned)strtoul(json + KIND_AT, NULL, 10),
	};
}

const char *hf_bench_event_tag(const struct hf_bench_event *event, char letter)
{
	char start[] = {'[', '"', letter, '"', ',', '"'};
	const char *found = memmem(event->json, event->json_bytes, start, sizeof(start));
	return found ? found + sizeof(start) : NULL;
}

bool hf_bench_event_is_regular(const struct hf_bench_event *event)
{
	unsigned kind = event->kind;
	return kind != 0 && kind != 3 && (kind < 10000 || kind >= 40000);
}
