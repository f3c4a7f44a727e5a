/* limits: what this machine can do at best at the things that a relay's work consists of.
 *
 *     limits [--dir DIR] [--json]
 *
 * --dir is a directory on the disk that databases will lie on (default: the current one). Times are wall time of one
 * thread, of pure computing CPU time. Every figure is the best of a few short rounds, because a limit is what remains
 * when nobody disturbs. With --json the figures are JSON on standard output and the table goes to standard error. */
#include "codec/json.h"
#include "crypto/hash.h"
#include "crypto/merkle_hash.h"
#include "crypto/secretstream.h"
#include "crypto/sign.h"
#include "measure.h"
#include "store/store.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <openssl/sha.h>
#include <secp256k1.h>
#include <secp256k1_extrakeys.h>
#include <secp256k1_schnorrsig.h>

#define ROUNDS 3
#define EVENT_BYTES 700u
#define SIGNATURE_COUNT 2000u
#define HASH_COUNT 200000u
#define SYNC_COUNT 200u
#define JSON_BYTES (8u << 20)
#define COPY_BYTES (256u << 20)
#define ECHO_COUNT 20000u
#define ECHO_CONN_COUNT 8u
#define SEND_COUNT 192000u
#define STORE_COUNT 20000u
#define STORE_GROUP 1000u
#define LINE_COUNT_MAX 48u
#define BLOCK_BYTES (64u << 10)
#define SMALL_BYTES 100u
#define STREAM_BYTES (1024u << 20)

struct line {
	const char *key;
	const char *label;
	const char *unit;
	double value;
};

static struct line lines[LINE_COUNT_MAX];
static size_t line_count;

static void report(const char *key, const char *label, const char *unit, double value)
{
	lines[line_count++] = (struct line){key, label, unit, value};
}

static double clock_us(clockid_t clock)
{
	struct timespec now;
	clock_gettime(clock, &now);
	return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

static double now_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

/* For pure computing, so that others on the machine do not count. */
static double cpu_us(void)
{
	return clock_us(CLOCK_THREAD_CPUTIME_ID);
}

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void measure_signatures(void)
{
	secp256k1_context *secp = secp256k1_context_create(SECP256K1_CONTEXT_NONE);
	secp256k1_keypair keypair;
	secp256k1_xonly_pubkey key;
	uint8_t secret[32] = {1, 2, 3}, message[32] = {4}, signature[64], encoded[32];
	if (!secp256k1_keypair_create(secp, &keypair, secret) ||
		!secp256k1_keypair_xonly_pub(secp, &key, NULL, &keypair) ||
		!secp256k1_xonly_pubkey_serialize(secp, encoded, &key) ||
		!secp256k1_schnorrsig_sign32(secp, signature, message, &keypair, NULL))
		die("secp256k1");
	double best = 1e9, best_parsed = 1e9;
	for (int round = 0; round < ROUNDS; round++) {
		double begin = cpu_us();
		for (unsigned i = 0; i < SIGNATURE_COUNT; i++)
			if (!secp256k1_xonly_pubkey_parse(secp, &key, encoded) ||
				!secp256k1_schnorrsig_verify(secp, signature, message, 32, &key))
				die("signature check");
		double middle = cpu_us();
		for (unsigned i = 0; i < SIGNATURE_COUNT; i++)
			if (!secp256k1_schnorrsig_verify(secp, signature, message, 32, &key))
				die("signature check");
		double end = cpu_us();
		best = middle - begin < best ? middle - begin : best;
		best_parsed = end - middle < best_parsed ? end - middle : best_parsed;
	}
	secp256k1_context_destroy(secp);
	double check_us = best / SIGNATURE_COUNT;
	report("schnorr_check_us", "Schnorr signature check, key parsed each time", "us", check_us);
	report("schnorr_check_parsed_us", "  with the key at hand", "us", best_parsed / SIGNATURE_COUNT);
	report("schnorr_check_per_s", "  on all cores", "/s", (double)sysconf(_SC_NPROCESSORS_ONLN) * 1e6 / check_us);
}

static void measure_hash(void)
{
	uint8_t event[EVENT_BYTES] = {0}, digest[32];
	double best = 1e9;
	for (int round = 0; round < ROUNDS; round++) {
		double begin = cpu_us();
		for (unsigned i = 0; i < HASH_COUNT / 4; i++) {
			event[i % EVENT_BYTES]++;
			SHA256(event, EVENT_BYTES, digest);
		}
		double spent = cpu_us() - begin;
		best = spent < best ? spent : best;
	}
	report("sha256_700_us", "SHA-256 of 700 bytes", "us", best / (HASH_COUNT / 4));
}

/* The best round of `count` turns; leaves one turn's CPU time in *best_us. */
#define BEST_US(best_us, count, turn) \
	do { \
		*(best_us) = 1e9; \
		for (int round = 0; round < ROUNDS; round++) { \
			double begin = cpu_us(); \
			for (unsigned i = 0; i < (count); i++) \
				turn; \
			double spent = (cpu_us() - begin) / (count); \
			*(best_us) = spent < *(best_us) ? spent : *(best_us); \
		} \
	} while (0)

static void measure_tree(void)
{
	static uint8_t block[BLOCK_BYTES];
	struct hf_merkle_node left = {.size = 1}, right = {.size = 2};
	struct iovec whole = {block, BLOCK_BYTES}, small = {block, SMALL_BYTES};
	struct hf_slice together[HF_LEAVES_TOGETHER];
	uint8_t hashes[HF_LEAVES_TOGETHER][HF_MERKLE_HASH_BYTES];
	uint8_t public_key[HF_SIGN_PUBLIC_BYTES], secret_key[HF_SIGN_SECRET_BYTES], signature[HF_SIGN_SIGNATURE_BYTES];
	struct hf_slice signable = hf_slice(block, HF_SIGNABLE_BYTES_MAX);
	double us;

	hf_sign_keypair_from_seed(public_key, secret_key, block);
	hf_sign(signature, signable, secret_key);
	BEST_US(&us, SIGNATURE_COUNT, hf_sign(signature, signable, secret_key));
	report("ed25519_sign_us", "Ed25519 signature of a tree", "us", us);
	BEST_US(&us, SIGNATURE_COUNT, if (hf_verify(signature, signable, public_key)) die("signature check"));
	report("ed25519_check_us", "  its check", "us", us);
	BEST_US(&us, SIGNATURE_COUNT, hf_leaf_hash(left.hash, &whole, 1));
	report("blake2b_gb_per_s", "BLAKE2b of 64 kB blocks", "GB/s", BLOCK_BYTES / us / 1e3);
	for (size_t i = 0; i < HF_LEAVES_TOGETHER; i++)
		together[i] = hf_slice(block, BLOCK_BYTES);
	BEST_US(&us, SIGNATURE_COUNT / HF_LEAVES_TOGETHER, hf_leaf_hashes(hashes, together, HF_LEAVES_TOGETHER));
	report("blake2b_together_gb_per_s", "  eight side by side", "GB/s", HF_LEAVES_TOGETHER * BLOCK_BYTES / us / 1e3);
	BEST_US(&us, HASH_COUNT, hf_leaf_hash(left.hash, &small, 1));
	report("leaf_100_us", "  leaf of 100 bytes", "us", us);
	BEST_US(&us, HASH_COUNT, hf_parent_hash(left.hash, &left, &right));
	report("parent_us", "  parent", "us", us);
}

/* Sealing, and opening with the copy that puts the sealed bytes back. */
static void seal_us(struct hf_secretstream_engine *engine, size_t bytes, unsigned count, double *seal, double *open)
{
	static uint8_t plain[BLOCK_BYTES], sealed[BLOCK_BYTES + HF_SECRETSTREAM_OVERHEAD_BYTES], copy[sizeof sealed];
	struct hf_secretstream stream, begun;
	struct iovec piece = {plain, bytes};
	uint8_t tag;

	hf_secretstream_init(&begun, plain, plain);
	stream = begun;
	BEST_US(seal, count, if (hf_secretstream_push(engine, &stream, 0, &piece, 1, sealed)) die("secretstream"));
	stream = begun;
	if (hf_secretstream_push(engine, &stream, 0, &piece, 1, sealed))
		die("secretstream");
	BEST_US(open, count, {
		stream = begun;
		memcpy(copy, sealed, bytes + HF_SECRETSTREAM_OVERHEAD_BYTES);
		if (hf_secretstream_pull(engine, &stream, &tag, copy, bytes + HF_SECRETSTREAM_OVERHEAD_BYTES))
			die("secretstream");
	});
}

static void measure_seal(void)
{
	struct hf_secretstream_engine *engine;
	double seal, open;

	if (hf_secretstream_engine_new(&engine))
		die("secretstream");
	seal_us(engine, BLOCK_BYTES, SIGNATURE_COUNT, &seal, &open);
	report("seal_gb_per_s", "secretstream, sealing 64 kB", "GB/s", BLOCK_BYTES / seal / 1e3);
	report("open_gb_per_s", "  opening", "GB/s", BLOCK_BYTES / open / 1e3);
	seal_us(engine, SMALL_BYTES, HASH_COUNT, &seal, &open);
	report("seal_100_us", "  sealing 100 bytes", "us", seal);
	report("open_100_us", "  opening", "us", open);
	hf_secretstream_engine_free(engine);
}

struct store_job {
	uint8_t block[SMALL_BYTES];
	unsigned count;
};

static int put_blocks(void *context, struct hf_tx *tx)
{
	const struct store_job *job = context;
	int status = HF_OK;

	for (unsigned i = 0; i < job->count && status == HF_OK; i++)
		status = hf_tx_log_append(tx, 1, &(struct iovec){(void *)(uintptr_t)job->block, SMALL_BYTES}, 1, NULL);
	return status;
}

/* There are no documents. */
static int describe_nothing(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload, struct hf_doc_key *key,
	uint64_t *terms)
{
	(void)context, (void)store, (void)collection, (void)payload, (void)key, (void)terms;
	return HF_EINVAL;
}

/* Blocks into a numbered log of the store, each commit written before it ends. */
static void measure_store(const char *dir)
{
	char path[4096];
	struct hf_env env;
	struct hf_store *store;
	struct hf_failure failure;
	struct store_job job = {.count = 1};
	struct hf_store_options options = {.size = sizeof options, .directory = path, .env = &env,
		.schema = {.describe = describe_nothing}};
	double us;

	snprintf(path, sizeof path, "%s/limits-store.%d", dir, (int)getpid());
	hf_env_system(&env);
	if (hf_store_open(&store, &options, &failure)) {
		fprintf(stderr, "%s\n", failure.text);
		exit(1);
	}
	BEST_US(&us, STORE_COUNT, if (hf_store_commit_wait(store, HF_DURABLE_OS, put_blocks, &job)) die("store"));
	report("store_put_us", "store, a block of 100 bytes in a commit", "us", us);
	job.count = STORE_GROUP;
	BEST_US(&us, STORE_COUNT / 100, if (hf_store_commit_wait(store, HF_DURABLE_OS, put_blocks, &job)) die("store"));
	report("store_put_grouped_us", "  with 1,000 in a commit, each", "us", us / STORE_GROUP);
	hf_store_close(store);
	hf_measure_remove(path);
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Wall time of a write and its fdatasync, the tenth percentile, at the end of a growing file or over blocks written
 * before. */
static double sync_us(const char *dir, size_t bytes, bool rewrite)
{
	char path[4096];
	double times[SYNC_COUNT];
	snprintf(path, sizeof(path), "%s/limits.XXXXXX", dir);
	int fd = mkstemp(path);
	char *data = calloc(1, bytes);
	if (fd < 0 || !data)
		die(path);
	unlink(path);
	for (unsigned i = 0; rewrite && i < SYNC_COUNT; i++)
		if (write(fd, data, bytes) != (ssize_t)bytes)
			die("write");
	if (fsync(fd) || lseek(fd, 0, SEEK_SET))
		die("fsync");
	for (unsigned i = 0; i < SYNC_COUNT; i++) {
		double begin = now_us();
		if (write(fd, data, bytes) != (ssize_t)bytes || fdatasync(fd))
			die("fdatasync");
		times[i] = now_us() - begin;
	}
	close(fd);
	free(data);
	qsort(times, SYNC_COUNT, sizeof(*times), compare_doubles);
	return times[SYNC_COUNT / 10];
}

/* A scan that does the least a JSON reader must: find strings and their escapes, count the nesting. */
static size_t scan_json(const char *text, size_t bytes)
{
	size_t depth_sum = 0, depth = 0;
	bool in_string = false;
	for (size_t i = 0; i < bytes; i++) {
		char c = text[i];
		if (in_string) {
			if (c == '\\')
				i++;
			else if (c == '"')
				in_string = false;
		} else if (c == '"') {
			in_string = true;
		} else if (c == '{' || c == '[') {
			depth_sum += ++depth;
		} else if (c == '}' || c == ']') {
			depth--;
		}
	}
	return depth_sum;
}

static const char sample_event[] =
	"{\"id\":\"000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f\","
	"\"created_at\":1700000000,\"kind\":1,"
	"\"tags\":[[\"e\",\"000102030405060708090a0b0c0d0e0f\"],[\"t\",\"bench\"]],"
	"\"content\":\"Words of a length that people use, and \\\"quotes\\\" now and then.\\n\"}\n";

/* The checked scan that the relay is built on, over as many events as the bare one. */
static void scan_tokens(size_t event_count)
{
	for (size_t i = 0; i < event_count; i++) {
		struct hf_json json;
		struct hf_json_token token;
		hf_json_init(&json, hf_slice(sample_event, sizeof(sample_event) - 1), HF_JSON_DEPTH_MAX);
		do {
			if (hf_json_next(&json, &token))
				die("JSON scan");
		} while (token.type != HF_JSON_END);
	}
}

static void measure_json(void)
{
	size_t event_count = JSON_BYTES / (sizeof(sample_event) - 1), bytes = event_count * (sizeof(sample_event) - 1);
	char *text = malloc(bytes);
	if (!text)
		die("memory");
	for (size_t i = 0; i < bytes; i++)
		text[i] = sample_event[i % (sizeof(sample_event) - 1)];
	double best = 1e9, best_tokens = 1e9;
	size_t depth_sum = 0;
	for (int round = 0; round < ROUNDS; round++) {
		double begin = cpu_us();
		depth_sum += scan_json(text, bytes);
		double middle = cpu_us();
		scan_tokens(event_count);
		double end = cpu_us();
		best = middle - begin < best ? middle - begin : best;
		best_tokens = end - middle < best_tokens ? end - middle : best_tokens;
	}
	__asm__ volatile("" : : "r"(depth_sum)); /* so that the scan is not optimised away */
	free(text);
	report("json_scan_mb_per_s", "JSON scan that only finds strings and nesting", "MB/s", (double)bytes / best);
	report("json_tokens_mb_per_s", "  by our scanner, everything checked", "MB/s", (double)bytes / best_tokens);
}

static void measure_memory(void)
{
	char *from = malloc(COPY_BYTES), *to = malloc(COPY_BYTES);
	if (!from || !to)
		die("memory");
	memset(from, 1, COPY_BYTES);
	memset(to, 2, COPY_BYTES);
	double best = 1e9;
	for (int round = 0; round < ROUNDS; round++) {
		double begin = now_us();
		memcpy(to, from, COPY_BYTES);
		double spent = now_us() - begin;
		__asm__ volatile("" : : "r"(to) : "memory");
		best = spent < best ? spent : best;
	}
	free(from);
	free(to);
	report("memory_copy_gb_per_s", "memory copy", "GB/s", COPY_BYTES / best / 1e3);
}

static void loopback_pair(int fds[2])
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t bytes = sizeof(address);
	int listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (bind(listener, (struct sockaddr *)&address, bytes) || listen(listener, 1) ||
		getsockname(listener, (struct sockaddr *)&address, &bytes))
		die("listen");
	fds[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(fds[0], (struct sockaddr *)&address, sizeof(address)))
		die("connect");
	fds[1] = accept(listener, NULL, NULL);
	close(listener);
	for (int i = 0; i < 2; i++)
		setsockopt(fds[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

struct echo_side {
	int fds[ECHO_CONN_COUNT];
	size_t conn_count;
	double cpu_us;
};

/* Answers on all connections, as a server does: wait, then read and write on each that is ready. */
static void *echo(void *argument)
{
	struct echo_side *side = argument;
	struct epoll_event events[ECHO_CONN_COUNT];
	char message[64];
	double begin = clock_us(CLOCK_THREAD_CPUTIME_ID);
	int poll = epoll_create1(0);
	for (size_t i = 0; i < side->conn_count; i++) {
		struct epoll_event event = {.events = EPOLLIN, .data.fd = side->fds[i]};
		epoll_ctl(poll, EPOLL_CTL_ADD, side->fds[i], &event);
	}
	for (bool open = true; open;) {
		int ready = epoll_wait(poll, events, ECHO_CONN_COUNT, -1);
		for (int i = 0; i < ready; i++) {
			ssize_t count = recv(events[i].data.fd, message, sizeof(message), 0);
			if (count <= 0 || send(events[i].data.fd, message, (size_t)count, MSG_NOSIGNAL) != count)
				open = false;
		}
	}
	close(poll);
	side->cpu_us = clock_us(CLOCK_THREAD_CPUTIME_ID) - begin;
	return NULL;
}

/* Round trips with one message in flight on each connection; best wall time and CPU of the answering side, each. */
static void echo_us(size_t conn_count, double *best_us, double *best_cpu_us)
{
	char message[64] = {0};
	*best_us = *best_cpu_us = 1e9;
	for (int round = 0; round < ROUNDS; round++) {
		struct echo_side side = {.conn_count = conn_count};
		int asking[ECHO_CONN_COUNT];
		pthread_t thread;
		for (size_t i = 0; i < conn_count; i++) {
			int pair[2];
			loopback_pair(pair);
			asking[i] = pair[0];
			side.fds[i] = pair[1];
		}
		if (pthread_create(&thread, NULL, echo, &side))
			die("thread");
		double begin = now_us();
		for (size_t i = 0; i < ECHO_COUNT + conn_count; i++) {
			int fd = asking[i % conn_count];
			if (i >= conn_count && recv(fd, message, sizeof(message), 0) <= 0)
				die("echo");
			if (i < ECHO_COUNT && send(fd, message, sizeof(message), MSG_NOSIGNAL) != sizeof(message))
				die("echo");
		}
		double spent = now_us() - begin;
		for (size_t i = 0; i < conn_count; i++)
			close(asking[i]);
		pthread_join(thread, NULL);
		for (size_t i = 0; i < conn_count; i++)
			close(side.fds[i]);
		*best_us = spent / ECHO_COUNT < *best_us ? spent / ECHO_COUNT : *best_us;
		*best_cpu_us = side.cpu_us / ECHO_COUNT < *best_cpu_us ? side.cpu_us / ECHO_COUNT : *best_cpu_us;
	}
}

/* Returns the wall time of one round trip alone. */
static double measure_echo(void)
{
	double alone_us, each_us, answering_us;
	echo_us(1, &alone_us, &answering_us);
	report("echo_ms", "loopback round trip alone", "ms", alone_us / 1e3);
	echo_us(ECHO_CONN_COUNT, &each_us, &answering_us);
	report("echo_per_s", "loopback round trips on 8 connections", "/s", 1e6 / each_us);
	report("echo_cpu_us", "  CPU of the answering side, each", "us", answering_us);
	return alone_us;
}

static void *swallow(void *argument)
{
	int fd = *(int *)argument;
	static char buffer[1 << 18];
	while (recv(fd, buffer, sizeof(buffer), MSG_TRUNC) > 0)
		;
	return NULL;
}

/* CPU of the sending side for one message, when `shared` of them leave in one write. */
static double send_us(size_t shared)
{
	size_t bytes = EVENT_BYTES * shared;
	char *message = calloc(1, bytes);
	double best = 1e9;
	if (!message)
		die("memory");
	for (int round = 0; round < ROUNDS; round++) {
		int fds[2];
		pthread_t thread;
		loopback_pair(fds);
		if (pthread_create(&thread, NULL, swallow, &fds[1]))
			die("thread");
		double begin = clock_us(CLOCK_THREAD_CPUTIME_ID);
		for (size_t i = 0; i < SEND_COUNT; i += shared)
			for (size_t sent = 0; sent < bytes;) {
				ssize_t count = send(fds[0], message, bytes - sent, MSG_NOSIGNAL);
				if (count <= 0)
					die("send");
				sent += (size_t)count;
			}
		double spent = clock_us(CLOCK_THREAD_CPUTIME_ID) - begin;
		close(fds[0]);
		pthread_join(thread, NULL);
		close(fds[1]);
		best = spent < best ? spent : best;
	}
	free(message);
	return best / SEND_COUNT;
}

static void *swallow_all(void *argument)
{
	int fd = *(int *)argument;
	static char buffer[1 << 18];
	while (recv(fd, buffer, sizeof(buffer), 0) > 0)
		;
	return NULL;
}

/* One connection, 64 kB writes, read and copied out by another thread. */
static void measure_loopback(void)
{
	char *block = calloc(1, BLOCK_BYTES);
	double best = 1e9;
	if (!block)
		die("memory");
	for (int round = 0; round < ROUNDS; round++) {
		int fds[2];
		pthread_t thread;
		loopback_pair(fds);
		if (pthread_create(&thread, NULL, swallow_all, &fds[1]))
			die("thread");
		double begin = now_us();
		for (size_t left = STREAM_BYTES; left > 0;) {
			ssize_t count = send(fds[0], block, left < BLOCK_BYTES ? left : BLOCK_BYTES, MSG_NOSIGNAL);
			if (count <= 0)
				die("send");
			left -= (size_t)count;
		}
		close(fds[0]);
		pthread_join(thread, NULL);
		double spent = now_us() - begin;
		close(fds[1]);
		best = spent < best ? spent : best;
	}
	free(block);
	report("loopback_gb_per_s", "loopback TCP in writes of 64 kB", "GB/s", STREAM_BYTES / best / 1e3);
}

static void print_lines(bool json)
{
	for (size_t i = 0; i < line_count; i++) {
		const struct line *line = &lines[i];
		fprintf(json ? stderr : stdout, "%-48s %12.4g %s\n", line->label, line->value, line->unit);
		if (json)
			printf("%s\n  \"%s\": %.6g", i ? "," : "{", line->key, line->value);
	}
	if (json)
		puts("\n}");
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"dir", 1, NULL, 'd'}, {"json", 0, NULL, 'j'}, {0}};
	const char *dir = ".";
	bool json = false;
	for (int c; (c = getopt_long(argc, argv, "", options, NULL)) != -1;) {
		if (c == 'd') {
			dir = optarg;
		} else if (c == 'j') {
			json = true;
		} else {
			fputs("usage: limits [--dir DIR] [--json]\n", stderr);
			return 2;
		}
	}
	report("cores", "cores", "", (double)sysconf(_SC_NPROCESSORS_ONLN));
	measure_signatures();
	measure_hash();
	if (hf_crypto_init())
		die("libsodium");
	measure_tree();
	measure_seal();
	measure_store(dir);
	double rewrite_4k_us = sync_us(dir, 4096, true);
	report("fdatasync_4k_us", "append 4 kB and fdatasync", "us", sync_us(dir, 4096, false));
	report("fdatasync_64k_us", "  64 kB", "us", sync_us(dir, 65536, false));
	report("fdatasync_256k_us", "  256 kB", "us", sync_us(dir, 262144, false));
	report("fdatasync_rewrite_4k_us", "  4 kB over blocks written before", "us", rewrite_4k_us);
	measure_json();
	measure_memory();
	double round_trip_us = measure_echo();
	report("sync_and_echo_ms", "a round trip with a 4 kB sync in it", "ms", (round_trip_us + rewrite_4k_us) / 1e3);
	report("send_700_us", "loopback send of 700 bytes, CPU", "us", send_us(1));
	report("send_shared_700_us", "  64 of them in one write, CPU each", "us", send_us(64));
	measure_loopback();
	print_lines(json);
	return 0;
}
