/* bee: puts in batches of a thousand with a commit each, gets and scans of a Hyperbee, from a store in a directory of its own.
 * Usage: bench/bee [KEYS] */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "data/corestore.h"
#include "data/hyperbee/bee.h"

#define BATCH_COUNT 1000

static struct hf_env env;
static struct hf_bee *bee;

static void check(int status)
{
	if (status == HF_OK)
		return;
	fprintf(stderr, "bee: %s\n", hf_error_name(status));
	exit(1);
}

/* Others may have the processors: what counts is the time that this thread had, and all of ours. */
struct start {
	uint64_t wall_us, thread_us, process_us;
};

static uint64_t clock_us(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static struct start start(void)
{
	return (struct start){clock_us(CLOCK_MONOTONIC), clock_us(CLOCK_THREAD_CPUTIME_ID), clock_us(CLOCK_PROCESS_CPUTIME_ID)};
}

static void report(const char *what, uint64_t count, struct start from)
{
	struct start now = start();

	printf("%-28s %9.0f a second; a second of this thread %9.0f, of all threads %9.0f\n", what,
		(double)count * 1e6 / (double)(now.wall_us - from.wall_us), (double)count * 1e6 / (double)(now.thread_us - from.thread_us),
		(double)count * 1e6 / (double)(now.process_us - from.process_us));
}

static struct hf_slice key_of(uint64_t number, char text[static 32])
{
	int length = snprintf(text, 32, "user/%08x", (unsigned)(number * 2654435761u));

	return hf_slice(text, (size_t)length);
}

static void put_all(struct hf_corestore *cores, uint64_t count, const char *what)
{
	static const uint8_t value[100];
	struct hf_slice bytes = hf_slice(value, sizeof value);
	struct start started = start();
	char text[32];

	for (uint64_t i = 0; i < count; i++) {
		check(hf_bee_put(bee, key_of(i, text), &bytes, NULL));
		if ((i + 1) % BATCH_COUNT != 0)
			continue;
		check(hf_bee_flush(bee));
		check(hf_core_commit(hf_bee_core(bee), HF_DURABLE_OS, NULL, NULL));
		hf_corestore_poll(cores);
	}
	hf_corestore_settle(cores);
	report(what, count, started);
}

static void get_all(uint64_t count, const char *what)
{
	struct start started = start();
	struct hf_bee_entry entry;
	char text[32];

	for (uint64_t i = 0; i < count; i++)
		check(hf_bee_get(hf_bee_latest(bee), key_of(i, text), &entry));
	report(what, count, started);
}

static void scan(bool reverse, const char *what)
{
	struct hf_bee_range range = {.reverse = reverse};
	struct start started = start();
	uint64_t count = 0;
	struct hf_bee_iterator *iterator;
	struct hf_bee_entry entry;
	int status;

	check(hf_bee_iterate(hf_bee_latest(bee), &range, &iterator));
	while ((status = hf_bee_iterator_next(iterator, &entry)) == HF_OK)
		count++;
	hf_bee_iterator_free(iterator);
	if (status != HF_ENOTFOUND)
		check(status);
	report(what, count, started);
}

static void run(struct hf_corestore *cores, uint64_t keys)
{
	struct hf_core_options options = {.size = sizeof options, .name = hf_slice_text("bee")};
	struct hf_bee_options bee_options = {.size = sizeof bee_options, .cache_bytes_max = 1u << 30};
	struct hf_failure failure;

	check(hf_corestore_get(cores, &options, &bee_options.core, &failure));
	check(hf_bee_open(&bee, &bee_options));
	put_all(cores, keys, "new keys, batches of 1,000");
	put_all(cores, keys, "the same keys again");
	hf_bee_close(bee);
	check(hf_bee_open(&bee, &bee_options));
	scan(false, "scan, nothing decoded");
	scan(false, "scan");
	scan(true, "scan backwards");
	hf_bee_close(bee);
	check(hf_bee_open(&bee, &bee_options));
	get_all(keys, "get, nothing decoded");
	get_all(keys, "get");
	hf_bee_close(bee);
	hf_core_unref(bee_options.core);
}

int main(int argc, char **argv)
{
	char directory[64] = "/tmp/hf-bee-XXXXXX", command[96];
	uint8_t primary_key[32] = {1};
	struct hf_store_options options = {.size = sizeof options, .directory = directory, .env = &env,
		.schema = {.describe = hf_corestore_describe}};
	struct hf_corestore_options core_options = {.size = sizeof core_options, .env = &env, .primary_key = hf_slice(primary_key, 32),
		.blocking = true};
	struct hf_corestore *cores;
	struct hf_failure failure;

	hf_env_system(&env);
	if (mkdtemp(directory) == NULL)
		return 1;
	check(hf_store_open(&core_options.store, &options, &failure));
	check(hf_corestore_open(&cores, &core_options, &failure));
	run(cores, argc > 1 ? strtoull(argv[1], NULL, 10) : 100000);
	hf_corestore_close(cores);
	hf_store_close(core_options.store);
	snprintf(command, sizeof command, "rm -r %s", directory);
	return system(command) == 0 ? 0 : 1;
}
