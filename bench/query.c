/* query: what the event layer costs without a network: admissions into a store, and queries out of it as JSON.
 *
 *     query --directory DIR [--events 1000000] [--rounds 2000]
 *
 * DIR is made when missing and used again when it holds a store. Events are synthetic: made, not signed. Times of
 * queries are CPU time of one thread; "mixed" is the mix of bench/relay. */
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/map.h"
#include "codec/hex.h"
#include "data/event/admission.h"
#include "data/event/query.h"
#include "data/event/subscription.h"
#include "data/event/terms.h"
#include "group.h"
#include "measure.h"

#define COLLECTION 1
#define AUTHOR_COUNT 20000u
#define TIME_START 1700000000u
#define SPAN_S (30u * 86400)
#define CHUNK_COUNT 256u
#define NOW_S 1900000000u

static void die(const char *what, int code)
{
	fprintf(stderr, "query: %s: %s\n", what, hf_error_text(code));
	exit(1);
}

/* ---- Events: everything about number n follows from n ---- */

struct made {
	struct hf_event event;
	char tags[1024], content[1024];
};

static uint64_t mix(uint64_t n, uint64_t salt)
{
	uint64_t key[2] = {n, salt};
	return hf_hash64(key, sizeof key, 0x5eed);
}

static void fill(uint8_t *out, size_t length, uint64_t n, uint64_t salt)
{
	for (size_t i = 0; i < length; i += 8)
		hf_store_le64(out + i, mix(n, salt + i));
}

/* Popular numbers are low. */
static uint32_t popular(uint64_t n, uint64_t salt, uint32_t bound)
{
	double x = (double)(mix(n, salt) >> 11) / 9007199254740992.0;
	return (uint32_t)(x * x * x * bound);
}

static void id_of(uint8_t id[static 32], uint64_t n)
{
	fill(id, 32, n, 100);
}

static void author_of(uint8_t pubkey[static 32], uint64_t n)
{
	fill(pubkey, 32, popular(n, 1, AUTHOR_COUNT), 200);
}

static uint32_t kind_of(uint64_t n)
{
	static const uint32_t kinds[] = {1, 1, 1, 1, 1, 1, 7, 7, 7, 6, 1111, 9735, 20};
	return kinds[mix(n, 2) % (sizeof kinds / sizeof kinds[0])];
}

static uint64_t time_of(uint64_t n, uint64_t event_count)
{
	return TIME_START + n * SPAN_S / event_count;
}

/* An earlier event that n answers. */
static uint64_t parent_of(uint64_t n)
{
	uint64_t reach = n < 4096 ? n : 4096;
	return reach ? n - 1 - mix(n, 3) % reach : 0;
}

static void make(struct made *m, uint64_t n, uint64_t event_count)
{
	static const char words[][12] = {"relay ", "note ", "sleep ", "awake ", "mirror ", "signed ", "peer ", "community "};
	uint8_t bytes[32];
	char e[65] = {0}, p[65] = {0};
	id_of(m->event.id, n);
	author_of(m->event.pubkey, n);
	fill(m->event.sig, 64, n, 300);
	m->event.kind = kind_of(n);
	m->event.created_at = time_of(n, event_count);
	id_of(bytes, parent_of(n));
	hf_hex_encode(e, bytes, 32);
	author_of(bytes, parent_of(n));
	hf_hex_encode(p, bytes, 32);
	int length = mix(n, 4) % 100 < 70 ?
		sprintf(m->tags, "[[\"e\",\"%s\",\"\",\"root\"],[\"p\",\"%s\"],[\"t\",\"topic%u\"]]", e, p, popular(n, 5, 1000)) :
		sprintf(m->tags, "[[\"t\",\"topic%u\"]]", popular(n, 5, 1000));
	m->event.tags = hf_slice(m->tags, (size_t)length);
	size_t target = 20 + popular(n, 6, 600), at = 0;
	for (uint64_t w = mix(n, 7); at < target; w = w * 6364136223846793005u + 1)
		at += (size_t)sprintf(m->content + at, "%s", words[w >> 61]);
	m->event.content = hf_slice(m->content, at);
}

/* ---- Admissions ---- */

struct chunk {
	struct hf_admission list[CHUNK_COUNT];
	struct made made[CHUNK_COUNT];
	struct hf_group group;
};

static struct chunk *chunk_in_flight; /* one at a time; done has no other way to it */

static void done(struct hf_commit *commit, int status)
{
	hf_group_done(&chunk_in_flight->group, status);
}

static void admit_chunk(struct hf_store *store, struct chunk *c, uint32_t count)
{
	for (uint32_t i = 0; i + 1 < count; i++)
		c->list[i].commit.next = &c->list[i + 1].commit;
	int r = hf_group_run(&c->group, store, &c->list[0].commit, &c->list[count - 1].commit, count);
	if (r < 0)
		die("admission", r);
}

static void load(struct hf_store *store, uint64_t from, uint64_t event_count)
{
	struct chunk *c = calloc(1, sizeof *c);
	if (!c)
		die("memory", HF_ENOMEM);
	hf_group_init(&c->group);
	chunk_in_flight = c;
	double wall = hf_measure_wall_us(), cpu = hf_measure_cpu_us(), making = 0, preparing = 0;
	for (uint64_t n = from; n < event_count; n += CHUNK_COUNT) {
		uint32_t count = event_count - n < CHUNK_COUNT ? (uint32_t)(event_count - n) : CHUNK_COUNT;
		double start = hf_measure_wall_us();
		for (uint32_t i = 0; i < count; i++)
			make(&c->made[i], n + i, event_count);
		making += hf_measure_wall_us() - start;
		start = hf_measure_wall_us();
		for (uint32_t i = 0; i < count; i++) {
			struct hf_admission *a = &c->list[i];
			*a = (struct hf_admission){.collection = COLLECTION, .event = &c->made[i].event, .meta = {.received_ms = 1}};
			a->commit.durability = HF_DURABLE_OS;
			hf_admission_init(a, done);
			int r = hf_admission_prepare(a, store);
			if (r < 0)
				die("prepare", r);
		}
		preparing += hf_measure_wall_us() - start;
		admit_chunk(store, c, count);
		for (uint32_t i = 0; i < count; i++)
			hf_admission_clear(&c->list[i]);
	}
	double events = (double)(event_count - from);
	if (events > 0)
		printf("admitted %.0f events: %.2f us each, CPU %.2f (prepare %.2f), making them not counted\n", events,
			(hf_measure_wall_us() - wall - making) / events, (hf_measure_cpu_us() - cpu - making) / events, preparing / events);
	free(c);
}

/* ---- Queries ---- */

struct bench {
	struct hf_store *store;
	uint64_t event_count, rounds;
	struct hf_buffer json;
	uint64_t emitted;
	uint64_t json_bytes;
};

static int take(void *context, const struct hf_doc *doc)
{
	struct bench *b = context;
	b->emitted++;
	return hf_event_payload_to_json(doc->payload, &b->json);
}

static void run(struct bench *b, const struct hf_filter *filter)
{
	struct hf_event_query_options options = {.collection = COLLECTION, .filters = filter, .filter_count = 1,
		.limit_max = 500, .now_s = NOW_S, .emit = take, .context = b};
	struct hf_event_query *query;
	hf_buffer_clear(&b->json);
	int r = hf_event_query_open(&query, b->store, hf_store_snapshot(b->store), &options);
	if (r == HF_OK)
		r = hf_event_query_step(query, HF_READ_BLOCKING, UINT32_MAX);
	if (r < 0)
		die("query", r);
	hf_event_query_close(query);
	b->json_bytes += b->json.length;
}

#define IDS_PER_QUERY 20
#define FOLLOWED_COUNT 500
#define ASKED_COUNT 64 /* made at once, before the clock runs */
struct asked {
	struct hf_filter filter;
	uint8_t ids[IDS_PER_QUERY][32], author[32];
	uint32_t kinds[2];
	char text[65];
	struct hf_slice value;
	uint8_t followed[FOLLOWED_COUNT][32];
};

static int compare_ids(const void *a, const void *b)
{
	return memcmp(a, b, 32);
}

static void ask_tag(struct asked *q, char letter, const uint8_t bytes[static 32], uint64_t limit)
{
	hf_hex_encode(q->text, bytes, 32);
	q->value = hf_slice(q->text, 64);
	q->filter.tags[q->filter.tag_count++] = (struct hf_filter_tag){letter, 1, &q->value};
	q->filter.limit = limit;
}

static void ask_ids(struct asked *q, uint64_t round, uint64_t event_count, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++)
		id_of(q->ids[i], mix(round, 20 + i) % event_count);
	qsort(q->ids, count, 32, compare_ids);
	q->filter.has_ids = true;
	q->filter.id_count = count;
	q->filter.ids = (const uint8_t (*)[32])q->ids;
}

static void ask_author_kind(struct asked *q, uint64_t n, uint64_t event_count)
{
	author_of(q->author, n);
	q->kinds[0] = kind_of(n);
	q->filter.has_authors = q->filter.has_kinds = true;
	q->filter.author_count = q->filter.kind_count = 1;
	q->filter.authors = (const uint8_t (*)[32])q->author;
	q->filter.kinds = q->kinds;
	q->filter.limit = 20;
}

static void ask_e(struct asked *q, uint64_t n, uint64_t event_count)
{
	uint8_t id[32];
	id_of(id, parent_of(n));
	ask_tag(q, 'e', id, UINT64_MAX);
}

static void ask_p(struct asked *q, uint64_t n, uint64_t event_count)
{
	uint8_t author[32];
	author_of(author, n);
	ask_tag(q, 'p', author, 50);
}

static void ask_day(struct asked *q, uint64_t n, uint64_t event_count)
{
	q->kinds[0] = 1;
	q->kinds[1] = 6;
	q->filter.has_kinds = true;
	q->filter.kind_count = 2;
	q->filter.kinds = q->kinds;
	q->filter.until = time_of(n, event_count);
	q->filter.since = q->filter.until - 86400;
	q->filter.limit = 100;
}

static void ask_id(struct asked *q, uint64_t n, uint64_t event_count)
{
	ask_ids(q, n, event_count, 1);
}

static void ask_20_ids(struct asked *q, uint64_t n, uint64_t event_count)
{
	ask_ids(q, n, event_count, IDS_PER_QUERY);
}

static void ask_newest(struct asked *q, uint64_t n, uint64_t event_count)
{
	q->filter.limit = 500;
}

static void ask_mentions(struct asked *q, uint64_t n, uint64_t event_count)
{
	ask_p(q, n, event_count);
	q->kinds[0] = 1;
	q->kinds[1] = 9735;
	q->filter.has_kinds = true;
	q->filter.kind_count = 2;
	q->filter.kinds = q->kinds;
}

static void ask_mixed(struct asked *q, uint64_t n, uint64_t event_count)
{
	static void (*const asks[])(struct asked *q, uint64_t n, uint64_t event_count) = {
		ask_author_kind, ask_p, ask_e, ask_day, ask_20_ids,
	};
	asks[n % 5](q, n, event_count);
}

static void ask_feed(struct asked *q, uint64_t n, uint64_t event_count)
{
	for (uint32_t i = 0; i < FOLLOWED_COUNT; i++)
		fill(q->followed[i], 32, popular(n * FOLLOWED_COUNT + i, 8, AUTHOR_COUNT), 200);
	qsort(q->followed, FOLLOWED_COUNT, 32, compare_ids);
	uint32_t kept = 1;
	for (uint32_t i = 1; i < FOLLOWED_COUNT; i++)
		if (memcmp(q->followed[kept - 1], q->followed[i], 32) != 0)
			memmove(q->followed[kept++], q->followed[i], 32);
	ask_day(q, n, event_count);
	q->filter.since = 0;
	q->filter.has_authors = true;
	q->filter.author_count = kept;
	q->filter.authors = (const uint8_t (*)[32])q->followed;
}

static void measure(struct bench *b, const char *name, void (*ask)(struct asked *q, uint64_t n, uint64_t event_count),
	uint64_t rounds)
{
	static struct asked asked[ASKED_COUNT];
	double total = 0;
	b->emitted = b->json_bytes = 0;
	for (uint64_t i = 0; i < rounds; i += ASKED_COUNT) {
		for (uint64_t j = 0; j < ASKED_COUNT; j++) {
			memset(&asked[j].filter, 0, sizeof asked[j].filter);
			asked[j].filter.until = asked[j].filter.limit = UINT64_MAX;
			ask(&asked[j], ask == ask_mixed ? mix(i + j, 9) % (b->event_count / 5) * 5 + j % 5 : mix(i + j, 9) % b->event_count,
				b->event_count);
		}
		double start = hf_measure_thread_us();
		for (uint64_t j = 0; j < ASKED_COUNT; j++)
			run(b, &asked[j].filter);
		total += hf_measure_thread_us() - start;
	}
	rounds = (rounds + ASKED_COUNT - 1) / ASKED_COUNT * ASKED_COUNT;
	printf("%-28s %9.2f us, %7.1f events, %5.2f us an event, %5.0f B\n", name, total / (double)rounds,
		(double)b->emitted / (double)rounds, total / (double)(b->emitted ? b->emitted : 1),
		(double)b->json_bytes / (double)(b->emitted ? b->emitted : 1));
}

/* ---- Live ---- */

static void count_hit(void *context, struct hf_subscription *subscription)
{
	++*(uint64_t *)context;
}

static void measure_live(uint64_t event_count)
{
	enum { SUBSCRIPTION_COUNT = 1000, AUTHORS_EACH = 10, EVENTS = 20000 };
	static struct hf_subscription subscriptions[SUBSCRIPTION_COUNT];
	static struct hf_filter filters[SUBSCRIPTION_COUNT];
	static uint8_t authors[SUBSCRIPTION_COUNT][AUTHORS_EACH][32];
	static struct made made[64];
	struct hf_subscriptions *set;
	uint64_t hits = 0;
	if (hf_subscriptions_new(&set, 1) < 0)
		die("memory", HF_ENOMEM);
	double start = hf_measure_wall_us();
	for (uint32_t s = 0; s < SUBSCRIPTION_COUNT; s++) {
		for (uint32_t a = 0; a < AUTHORS_EACH; a++)
			author_of(authors[s][a], mix(s * AUTHORS_EACH + a, 30));
		qsort(authors[s], AUTHORS_EACH, 32, compare_ids);
		filters[s] = (struct hf_filter){.has_authors = true, .author_count = AUTHORS_EACH,
			.authors = (const uint8_t (*)[32])authors[s], .until = UINT64_MAX, .limit = UINT64_MAX};
		subscriptions[s] = (struct hf_subscription){.filters = &filters[s], .filter_count = 1};
		if (hf_subscriptions_add(set, &subscriptions[s]) < 0)
			die("memory", HF_ENOMEM);
	}
	double adding = hf_measure_wall_us() - start;
	for (uint64_t n = 0; n < 64; n++)
		make(&made[n], mix(n, 31) % event_count, event_count);
	start = hf_measure_wall_us();
	for (uint64_t n = 0; n < EVENTS; n++)
		hf_subscriptions_match(set, &made[n % 64].event, n, count_hit, &hits);
	printf("live: %u subscriptions of %u authors: %.3f us an event, %.1f matches; adding one %.2f us\n",
		SUBSCRIPTION_COUNT, AUTHORS_EACH, (hf_measure_wall_us() - start) / EVENTS, (double)hits / EVENTS, adding / SUBSCRIPTION_COUNT);
	start = hf_measure_wall_us();
	for (uint32_t s = 0; s < SUBSCRIPTION_COUNT; s++)
		hf_subscriptions_remove(set, &subscriptions[s]);
	printf("live: removing one %.2f us\n", (hf_measure_wall_us() - start) / SUBSCRIPTION_COUNT);
	hf_subscriptions_free(set);
}

int main(int argc, char **argv)
{
	static const struct option options[] = {
		{"directory", required_argument, NULL, 'd'}, {"events", required_argument, NULL, 'e'},
		{"rounds", required_argument, NULL, 'r'}, {0},
	};
	const char *directory = NULL;
	struct bench b = {.event_count = 1000000, .rounds = 2000};
	int option;
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'd')
			directory = optarg;
		else if (option == 'e')
			b.event_count = strtoull(optarg, NULL, 10);
		else if (option == 'r')
			b.rounds = strtoull(optarg, NULL, 10);
		else
			directory = NULL;
	}
	if (!directory || b.event_count == 0 || b.rounds == 0) {
		fprintf(stderr, "usage: query --directory DIR [--events N] [--rounds N]\n");
		return 2;
	}
	struct hf_env env;
	hf_env_system(&env);
	struct hf_failure failure = {0};
	struct hf_store_options store = {.size = sizeof store, .directory = directory, .env = &env,
		.schema = {NULL, hf_event_describe, hf_event_identify}};
	double start = hf_measure_wall_us();
	if (hf_store_open(&b.store, &store, &failure) < 0) {
		fprintf(stderr, "query: %s\n", failure.text);
		return 1;
	}
	printf("open: %.1f ms\n", (hf_measure_wall_us() - start) / 1e3);
	struct hf_snapshot *snapshot = hf_store_snapshot(b.store);
	uint64_t have = snapshot ? hf_snapshot_doc_count(snapshot, COLLECTION) : 0;
	hf_snapshot_release(snapshot);
	load(b.store, have, b.event_count);
	measure(&b, "by id", ask_id, b.rounds * 10);
	measure(&b, "20 ids", ask_20_ids, b.rounds);
	measure(&b, "author + kind, newest 20", ask_author_kind, b.rounds);
	measure(&b, "#e", ask_e, b.rounds);
	measure(&b, "#p, newest 50", ask_p, b.rounds);
	measure(&b, "#p + kinds, newest 50", ask_mentions, b.rounds);
	measure(&b, "kinds + one day, 100", ask_day, b.rounds);
	measure(&b, "newest 500", ask_newest, b.rounds / 4 + 1);
	measure(&b, "mixed", ask_mixed, b.rounds * 5);
	measure(&b, "feed of 500 authors, 100", ask_feed, b.rounds / 20 + 1);
	measure_live(b.event_count);
	hf_buffer_free(&b.json);
	hf_store_close(b.store);
	return 0;
}
