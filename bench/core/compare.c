/* compare: the table. Every row is a process of its own on either side, in turn, several times; medians are printed. */
#include "bench.h"

#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "crypto/merkle_hash.h"

#define ROUNDS_MAX 15
#define MEMORY_TARGET 8

/* ---- Processes ---- */

void hf_bench_start(struct hf_bench_child *child, const char *const *command)
{
	int input[2], output[2];

	if (pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0 || (child->pid = fork()) < 0) {
		perror("bench/core");
		exit(1);
	}
	if (child->pid == 0) {
		dup2(input[0], STDIN_FILENO);
		dup2(output[1], STDOUT_FILENO);
		execvp(command[0], (char *const *)(uintptr_t)command);
		perror(command[0]);
		_exit(1);
	}
	close(input[0]);
	close(output[1]);
	child->input = input[1];
	child->output = fdopen(output[0], "r");
}

void hf_bench_end(struct hf_bench_child *child)
{
	int status = 0;

	fclose(child->output);
	waitpid(child->pid, &status, 0);
	if (status == 0)
		return;
	fputs("bench/core: a process that measured has failed\n", stderr);
	exit(1);
}

static void read_line(struct hf_bench_child *child, char line[static 1024])
{
	if (fgets(line, 1024, child->output) != NULL)
		return;
	fputs("bench/core: a process that measures has told nothing\n", stderr);
	exit(1);
}

/* ---- What they print ---- */

static double number_of(const char *text, const char *name)
{
	char quoted[64];
	const char *at;

	snprintf(quoted, sizeof quoted, "\"%s\":", name);
	at = strstr(text, quoted);
	return at == NULL ? NAN : strtod(at + strlen(quoted), NULL);
}

struct measured {
	double rate, mb_per_second, cpu_us, made_mb, resident_mb;
};

static struct measured measured_of(const char *line)
{
	return (struct measured){.rate = number_of(line, "blocks_per_second"), .mb_per_second = number_of(line, "mb_per_second"),
		.cpu_us = number_of(line, "cpu_us_per_block"), .made_mb = number_of(line, "made_mb"), .resident_mb = number_of(line, "resident_mb")};
}

static double median_of(const struct measured *rounds, unsigned count, size_t offset)
{
	double values[ROUNDS_MAX];

	for (unsigned i = 0; i < count; i++)
		memcpy(&values[i], (const char *)&rounds[i] + offset, sizeof values[i]);
	return hf_measure_percentile(values, count, 0.5);
}

static struct measured median(const struct measured *rounds, unsigned count)
{
	return (struct measured){
		.rate = median_of(rounds, count, offsetof(struct measured, rate)),
		.mb_per_second = median_of(rounds, count, offsetof(struct measured, mb_per_second)),
		.cpu_us = median_of(rounds, count, offsetof(struct measured, cpu_us)),
		.made_mb = median_of(rounds, count, offsetof(struct measured, made_mb)),
		.resident_mb = median_of(rounds, count, offsetof(struct measured, resident_mb)),
	};
}

/* ---- Rows ---- */

static bool is_replication(const struct hf_bench_row *row)
{
	return strcmp(row->role, "serve") == 0;
}

/* One side of the table: how its processes are called. */
struct side {
	const char *program, *script; /* script NULL: ours; program NULL: not there */
	struct measured writer[ROUNDS_MAX], reader[ROUNDS_MAX];
};

#define COMMAND_LENGTH_MAX 16

static void start_role(struct hf_bench_child *child, const struct hf_bench_comparison *all, const struct side *side, const char *role,
	const struct hf_bench_row *row, uint64_t blocks, const char *first)
{
	const char *command[COMMAND_LENGTH_MAX] = {side->program};
	char numbers[3][32], port[32];
	unsigned length = 1;

	if (side->script != NULL)
		command[length++] = side->script;
	command[length++] = role;
	command[length++] = "--directory";
	command[length++] = all->directory;
	if (first != NULL) {
		const char *key = strstr(first, "\"key\":\"");
		static char text[128];

		snprintf(text, sizeof text, "%.*s", key == NULL ? 0 : (int)strcspn(key + 7, "\""), key == NULL ? "" : key + 7);
		snprintf(port, sizeof port, "%.0f", number_of(first, "port"));
		command[length++] = "--port";
		command[length++] = port;
		command[length++] = "--key";
		command[length++] = text;
	} else {
		snprintf(numbers[0], sizeof numbers[0], "%u", row->block_bytes);
		snprintf(numbers[1], sizeof numbers[1], "%u", row->batch);
		snprintf(numbers[2], sizeof numbers[2], "%llu", (unsigned long long)blocks);
		command[length++] = "--block-bytes";
		command[length++] = numbers[0];
		command[length++] = "--blocks";
		command[length++] = numbers[2];
		command[length++] = "--durability";
		command[length++] = row->durability;
		if (row->batch > 0) {
			command[length++] = "--batch";
			command[length++] = numbers[1];
		}
	}
	hf_bench_start(child, command);
}

static void run(const struct hf_bench_comparison *all, struct side *side, const struct hf_bench_row *row, uint64_t blocks, unsigned round)
{
	struct hf_bench_child child, reader;
	char line[1024], first[1024];

	start_role(&child, all, side, row->role, row, blocks, NULL);
	if (is_replication(row)) {
		read_line(&child, first);
		start_role(&reader, all, side, "fetch", row, blocks, first);
		close(reader.input);
		read_line(&reader, line);
		side->reader[round] = measured_of(line);
		hf_bench_end(&reader);
	}
	close(child.input);
	read_line(&child, line);
	side->writer[round] = measured_of(line);
	hf_bench_end(&child);
}

/* ---- Printing ---- */

static void print_pair(const char *name, double ours, double theirs, bool is_higher_better, double target, const char *unit)
{
	printf("%-34s %12.5g", name, ours);
	if (isnan(theirs))
		printf(" %12s %8s", "", "");
	else
		printf(" %12.5g %8.2f", theirs, is_higher_better ? ours / theirs : theirs / ours);
	if (target > 0)
		printf(" %8g", target);
	else
		printf(" %8s", "");
	printf(" %s\n", unit);
}

static void print_memory(const char *name, const struct measured *ours, const struct measured *theirs)
{
	char text[64];

	snprintf(text, sizeof text, "  made%s", name);
	print_pair(text, ours->made_mb, theirs->made_mb, false, MEMORY_TARGET, "MB");
	snprintf(text, sizeof text, "  resident%s", name);
	print_pair(text, ours->resident_mb, theirs->resident_mb, false, 0, "MB");
}

static void print_row(const struct hf_bench_row *row, const char *thing, const struct side sides[static 2], unsigned rounds)
{
	struct measured nothing = {NAN, NAN, NAN, NAN, NAN};
	struct measured writer[2], reader[2] = {{0}};

	for (unsigned i = 0; i < 2; i++) {
		writer[i] = sides[i].program == NULL ? nothing : median(sides[i].writer, rounds);
		reader[i] = sides[i].program == NULL ? nothing : median(sides[i].reader, rounds);
	}
	const struct measured *end = is_replication(row) ? reader : writer;
	bool is_alone = !is_replication(row);
	char text[64];

	print_pair(row->name, end[0].rate, end[1].rate, true, row->target, "/s");
	if (row->block_bytes > 1024)
		print_pair("  bytes", end[0].mb_per_second, end[1].mb_per_second, true, 0, "MB/s");
	snprintf(text, sizeof text, "  CPU per %s%s", thing, is_alone ? "" : ", writer");
	print_pair(text, writer[0].cpu_us, writer[1].cpu_us, false, 0, "us");
	if (!is_alone)
		print_pair("  CPU per block, reader", reader[0].cpu_us, reader[1].cpu_us, false, 0, "us");
	print_memory(is_alone ? "" : ", writer", &writer[0], &writer[1]);
	if (!is_alone)
		print_memory(", reader", &reader[0], &reader[1]);
	fflush(stdout);
}

/* ---- Beside cryptography alone ---- */

/* What a round reaches of it: with blocks hashed one at a time, which the target is for, and with as many side by side as we hash. */
struct share {
	unsigned together;
	double limit[ROUNDS_MAX], reached[ROUNDS_MAX];
};

static bool is_bound_by_cryptography(const struct hf_bench_row *row)
{
	return is_replication(row) && row->block_bytes > 1024;
}

/* Half of the limit, before a round and after it. */
static void add_limits(struct share shares[static 2], unsigned round)
{
	for (unsigned i = 0; i < 2; i++)
		shares[i].limit[round] += hf_bench_cryptography_mb_per_s(shares[i].together) / 2;
}

static void print_shares(struct share shares[static 2], const struct measured *ours, unsigned rounds)
{
	for (unsigned i = 0; i < 2; i++) {
		for (unsigned round = 0; round < rounds; round++)
			shares[i].reached[round] = 100 * ours[round].mb_per_second / shares[i].limit[round];
		printf("  of cryptography, %u at a time        %10.0f %% of %.0f MB/s", shares[i].together,
			hf_measure_percentile(shares[i].reached, rounds, 0.5), hf_measure_percentile(shares[i].limit, rounds, 0.5));
		puts(i == 0 ? " (target 70 %)" : "");
	}
}

static void run_round(const struct hf_bench_comparison *all, struct side sides[static 2], const struct hf_bench_row *row,
	struct share shares[static 2], unsigned round)
{
	if (is_bound_by_cryptography(row))
		add_limits(shares, round);
	run(all, &sides[0], row, (uint64_t)ceil((double)row->ours * all->scale), round);
	if (is_bound_by_cryptography(row))
		add_limits(shares, round);
	if (sides[1].program != NULL)
		run(all, &sides[1], row, (uint64_t)ceil((double)row->theirs * all->scale), round);
}

void hf_bench_compare(const struct hf_bench_comparison *all)
{
	static struct side sides[2];
	unsigned rounds = all->rounds < ROUNDS_MAX ? all->rounds : ROUNDS_MAX;
	const char *block = "";
	struct share shares[2];

	signal(SIGPIPE, SIG_IGN);
	sides[0].program = all->self;
	sides[1].program = access(all->node, X_OK) == 0 ? all->node : NULL;
	sides[1].script = all->script;
	puts(all->introduction);
	printf("%-34s %12s %12s %8s %8s   (median of %u)\n", "", "ours", "theirs", "better", "target", rounds);
	for (const struct hf_bench_row *row = all->rows; row->name != NULL; row++) {

		if (all->only != NULL && strstr(row->name, all->only) == NULL)
			continue;
		if (strcmp(block, row->durability) != 0)
			printf("-- %s\n", block = row->durability);
		memset(shares, 0, sizeof shares);
		shares[0].together = 1;
		shares[1].together = HF_LEAVES_TOGETHER;
		for (unsigned round = 0; round < rounds; round++)
			run_round(all, sides, row, shares, round);
		print_row(row, all->thing, sides, rounds);
		if (is_bound_by_cryptography(row))
			print_shares(shares, sides[0].reader, rounds);
	}
}
