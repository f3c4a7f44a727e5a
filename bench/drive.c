/* drive: files of 16 KiB and one large file into a drive and out of it, beside npm hyperdrive in the same run. Every measurement is a process of its
 * own on either side, in turn; medians are printed, and what was to be reached. Memory is what the process made at the end (RssAnon and
 * RssShmem), without the pages of mapped files.
 * Usage: bench/drive [--rounds N] [--files N] [--megabytes N] [--directory D] [--node PROGRAM] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/hyperdrive/drive.h"
#include "measure.h"

#define SMALL_BYTES 16384
#define PIECE_BYTES (1u << 20)
#define COMMIT_BYTES (1u << 20) /* as much as the program commits at a time */
#define IN_FLIGHT_BYTES_MAX (2u << 20)
#define ROUNDS_MAX 15

static const char *self, *node = "node_modules/.bin/node", *parent = "/var/tmp";

static void check(int status)
{
	if (status >= 0)
		return;
	fprintf(stderr, "bench/drive: %s\n", hf_error_name(status));
	exit(1);
}

/* ---- Ours ---- */

static uint8_t piece[PIECE_BYTES + SMALL_BYTES];
static struct hf_drive *drive;
static struct hf_corestore *cores;

static struct hf_slice path_of(uint64_t number, char text[static 48])
{
	return hf_slice(text, (size_t)snprintf(text, 48, "/folder %u/file %u", (unsigned)(number % 100), (unsigned)number));
}

/* What was staged goes to the writer; too much in flight is waited for. */
static void commit(void)
{
	check(hf_drive_commit(drive, HF_DURABLE_OS, NULL, NULL));
	hf_corestore_poll(cores);
	if (hf_core_uncommitted_bytes(hf_drive_blobs(drive)) > IN_FLIGHT_BYTES_MAX)
		check(hf_drive_commit_wait(drive, HF_DURABLE_OS));
}

static void small_in(uint64_t count)
{
	char text[48];

	for (uint64_t i = 0; i < count; i++) {
		check(hf_drive_put(drive, path_of(i, text), NULL, hf_slice(piece + i % 1000, SMALL_BYTES)));
		check(hf_bee_flush(hf_drive_bee(drive)));
		commit();
	}
	check(hf_drive_commit_wait(drive, HF_DURABLE_OS));
}

static uint64_t read_file(struct hf_slice path)
{
	struct hf_blob_reader *reader;
	struct hf_drive_entry entry;
	struct hf_slice bytes;
	uint64_t length = 0;

	check(hf_drive_entry(drive, hf_bee_latest(hf_drive_bee(drive)), path, &entry));
	check(hf_drive_read(drive, &entry, NULL, &reader));
	while (hf_blob_reader_next(reader, &bytes) == HF_OK)
		length += bytes.length;
	hf_blob_reader_free(reader);
	return length;
}

static void small_out(uint64_t count)
{
	char text[48];

	for (uint64_t i = 0; i < count; i++)
		check(read_file(path_of(i, text)) == SMALL_BYTES ? HF_OK : HF_EMALFORMED);
}

static void large_in(uint64_t count)
{
	struct hf_blob_writer writer;
	struct hf_blob_id id;

	check(hf_blob_writer_start(&writer, hf_drive_blobs(drive), NULL));
	for (uint64_t i = 0; i < count; i++) {
		check(hf_blob_writer_add(&writer, hf_slice(piece, PIECE_BYTES)));
		if (hf_core_staged_bytes(hf_drive_blobs(drive)) >= COMMIT_BYTES)
			commit();
	}
	check(hf_blob_writer_end(&writer, &id));
	check(hf_drive_put_blob(drive, HF_SLICE_LITERAL("/large"), NULL, &id));
	check(hf_bee_flush(hf_drive_bee(drive)));
	check(hf_drive_commit_wait(drive, HF_DURABLE_OS));
}

static void large_out(uint64_t count)
{
	check(read_file(HF_SLICE_LITERAL("/large")) == count * PIECE_BYTES ? HF_OK : HF_EMALFORMED);
}

static int measure_ours(const char *directory, const char *row, uint64_t count)
{
	static struct hf_env env;
	static const uint8_t primary_key[32] = {1};
	struct hf_store_options store = {.size = sizeof store, .directory = directory, .env = &env, .schema = {.describe = hf_corestore_describe}};
	struct hf_corestore_options core = {.size = sizeof core, .env = &env, .primary_key = hf_slice(primary_key, 32), .blocking = true};
	struct hf_drive_options options = {.size = sizeof options};
	struct hf_failure failure;

	hf_env_system(&env);
	for (size_t i = 0; i < sizeof piece; i++)
		piece[i] = (uint8_t)(i * 31 + (i >> 8));
	check(hf_store_open(&core.store, &store, &failure));
	check(hf_corestore_open(&cores, &core, &failure));
	options.cores = cores;
	check(hf_drive_open(&drive, &options, &failure));
	double wall_us = hf_measure_wall_us(), cpu_us = hf_measure_cpu_us();

	(strcmp(row, "small-in") == 0 ? small_in : strcmp(row, "small-out") == 0 ? small_out : strcmp(row, "large-in") == 0 ? large_in
		: large_out)(count);
	printf("{\"count\":%llu,\"seconds\":%.6f,\"cpu_seconds\":%.6f,\"made_mb\":%.1f}\n", (unsigned long long)count,
		(hf_measure_wall_us() - wall_us) / 1e6, (hf_measure_cpu_us() - cpu_us) / 1e6, hf_measure_memory().made_mb);
	hf_drive_close(drive);
	hf_corestore_close(cores);
	hf_store_close(core.store);
	return 0;
}

/* ---- The table ---- */

static const struct row {
	const char *name, *unit;
	double bytes_each, target;
} rows[] = {
	{"small-in", "puts", 0, 15}, {"small-out", "gets", 0, 15}, {"large-in", "MB/s", 1.048576, 3}, {"large-out", "MB/s", 1.048576, 1.5},
};

struct measured {
	double rate, cpu_rate, made_mb; /* a second, and a second of CPU: machines are shared */
};

static double number_of(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	return at == NULL ? 0 : strtod(at + strlen(name), NULL);
}

static struct measured run(const char *command)
{
	char line[512] = "";
	FILE *output = popen(command, "r");

	if (output == NULL || fgets(line, sizeof line, output) == NULL || pclose(output) != 0) {
		fprintf(stderr, "bench/drive: a process that measures has failed: %s\n", command);
		exit(1);
	}
	double count = number_of(line, "\"count\":");

	return (struct measured){count / number_of(line, "\"seconds\":"), count / number_of(line, "\"cpu_seconds\":"), number_of(line, "\"made_mb\":")};
}

static struct measured median(const struct measured *rounds, unsigned count)
{
	double rates[ROUNDS_MAX], cpu_rates[ROUNDS_MAX], mades[ROUNDS_MAX];

	for (unsigned i = 0; i < count; i++) {
		rates[i] = rounds[i].rate;
		cpu_rates[i] = rounds[i].cpu_rate;
		mades[i] = rounds[i].made_mb;
	}
	return (struct measured){hf_measure_percentile(rates, count, 0.5), hf_measure_percentile(cpu_rates, count, 0.5),
		hf_measure_percentile(mades, count, 0.5)};
}

static void print_row(const struct row *row, struct measured ours, struct measured theirs)
{
	double factor = row->bytes_each > 0 ? row->bytes_each : 1, ratio = ours.rate / theirs.rate;

	printf("%-10s %12.0f %12.0f %-5s %7.1fx of %4.1fx %s (CPU %.1fx) %9.1f MB %9.1f MB %6.1fx of 8.0x %s\n", row->name, ours.rate * factor,
		theirs.rate * factor, row->unit, ratio, row->target, ratio >= row->target ? "ok  " : "less",
		ours.cpu_rate / theirs.cpu_rate, ours.made_mb, theirs.made_mb,
		theirs.made_mb / ours.made_mb, theirs.made_mb / ours.made_mb >= 8 ? "ok" : "less");
	fflush(stdout);
}

/* A round writes and reads on both sides, in directories that are made for it. */
static void compare(unsigned rounds, uint64_t files, uint64_t megabytes)
{
	static struct measured ours[4][ROUNDS_MAX], theirs[4][ROUNDS_MAX];
	char directory[512], command[2048];

	snprintf(directory, sizeof directory, "%s/holdfast-drive-XXXXXX", parent);
	if (mkdtemp(directory) == NULL)
		exit(1);
	for (unsigned round = 0; round < rounds; round++) {
		for (size_t i = 0; i < 4; i++) {
			uint64_t count = i < 2 ? files : megabytes;

			snprintf(command, sizeof command, "%s --ours %s/ours-%zu-%u %s %llu", self, directory, i / 2, round, rows[i].name,
				(unsigned long long)count);
			ours[i][round] = run(command);
			snprintf(command, sizeof command, "%s bench/drive.mjs %s/theirs-%zu-%u %s %llu", node, directory, i / 2, round, rows[i].name,
				(unsigned long long)count);
			theirs[i][round] = run(command);
		}
	}
	hf_measure_remove(directory);
	printf("%llu files of 16 KiB, one of %llu MiB; medians of %u rounds\n%-10s %12s %12s\n", (unsigned long long)files,
		(unsigned long long)megabytes, rounds, "", "Holdfast", "hyperdrive");
	for (size_t i = 0; i < 4; i++)
		print_row(&rows[i], median(ours[i], rounds), median(theirs[i], rounds));
}

int main(int argc, char **argv)
{
	uint64_t rounds = 3, files = 10000, megabytes = 512;

	self = argv[0];
	if (argc == 5 && strcmp(argv[1], "--ours") == 0)
		return measure_ours(argv[2], argv[3], strtoull(argv[4], NULL, 10));
	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--rounds") == 0)
			rounds = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--files") == 0)
			files = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--megabytes") == 0)
			megabytes = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--directory") == 0)
			parent = argv[i + 1];
		else if (strcmp(argv[i], "--node") == 0)
			node = argv[i + 1];
	}
	compare((unsigned)(rounds < 1 ? 1 : rounds > ROUNDS_MAX ? ROUNDS_MAX : rounds), files, megabytes);
	return 0;
}
