/* One core, replicated over TCP by a program that has the library in it: does what no command does, told by
 * test/interop/lib/replicator_driver.mjs with one JSON object a line. */
#include <jansson.h>
#include <string.h>

#include "codec/hex.h"
#include "crypto/hash.h"
#include "driver.h"
#include "peer/core_host.h"

static struct hf_env env;
static struct hf_loop *loop;
static struct hf_store *store;
static struct hf_core_host *host;
static struct hf_peer_listener *listener;
static struct hf_core *core;
static struct hf_replication *replication;
static uint8_t secret_key[HF_SIGN_SECRET_BYTES];
static struct hf_download download = {.to = UINT64_MAX};

static void do_nothing(struct hf_seek_wait *wait)
{
	(void)wait;
}

static struct hf_seek_wait seek = {.done = do_nothing};

static int do_open(const json_t *command, json_t *answer)
{
	const char *key_text = json_string_value(json_object_get(command, "key"));
	const char *directory = json_string_value(json_object_get(command, "directory"));
	uint8_t key[HF_CORE_KEY_BYTES], primary_key[32];
	struct hf_store_options options = {.size = sizeof options, .directory = directory, .env = &env, .schema = {.describe = hf_corestore_describe}};
	struct hf_core_options which = {.size = sizeof which, .name = key_text == NULL ? hf_slice_text("log") : hf_slice(NULL, 0)};
	char hex[2 * HF_CORE_KEY_BYTES];
	int status = hf_store_open(&store, &options, NULL);

	env.random(&env, primary_key, sizeof primary_key);
	struct hf_core_host_options given = {.size = sizeof given, .loop = loop, .store = store, .blocking = true,
		.primary_key = hf_slice(primary_key, sizeof primary_key)};

	if (status == HF_OK)
		status = hf_core_host_new(&host, &given, NULL);
	if (status == HF_OK && key_text != NULL) {
		status = strlen(key_text) == 2 * sizeof key && hf_hex_decode(key, key_text, sizeof key) ? HF_OK : HF_EINVAL;
		which.key = key;
	}
	if (status == HF_OK)
		status = hf_corestore_get(hf_core_host_cores(host), &which, &core, NULL);
	if (status == HF_OK)
		status = hf_replicator_join(hf_core_host_replicator(host), core, &replication);
	if (status != HF_OK)
		return status;
	hf_hex_encode(hex, hf_core_key(core), HF_CORE_KEY_BYTES);
	json_object_set_new(answer, "key", json_stringn(hex, 2 * HF_CORE_KEY_BYTES));
	return HF_OK;
}

static int do_append(const json_t *command, json_t *answer)
{
	const json_t *block;
	size_t i;

	(void)answer;
	json_array_foreach(json_object_get(command, "blocks"), i, block) {
		struct hf_slice bytes = hf_slice_text(json_string_value(block));
		int status = hf_core_append(core, &bytes, 1, NULL);

		if (status != HF_OK)
			return status;
	}
	hf_core_commit(core, HF_DURABLE_OS, NULL, NULL);
	return HF_OK;
}

static int do_truncate(const json_t *command, json_t *answer)
{
	(void)answer;
	return hf_core_truncate(core, driver_number(command, "length"), HF_CORE_NEXT_FORK);
}

static int do_download(const json_t *command, json_t *answer)
{
	(void)answer;
	download.from = driver_number(command, "from");
	hf_download_start(replication, &download);
	return HF_OK;
}

/* Where the byte is, or nothing while peers are asked for that. */
static int do_seek(const json_t *command, json_t *answer)
{
	struct hf_core_place place;
	uint64_t bytes = driver_number(command, "bytes");
	int status = hf_core_seek(core, bytes, &place);

	if (status == HF_OK) {
		json_object_set_new(answer, "block", json_integer((json_int_t)place.block));
		json_object_set_new(answer, "offset", json_integer((json_int_t)place.offset));
	} else if (seek.replication == NULL) {
		seek.bytes = bytes;
		hf_seek_wait_start(replication, &seek);
	}
	return HF_OK;
}

static int do_listen(const json_t *command, json_t *answer)
{
	struct hf_peer_socket_options options = {.size = sizeof options, .loop = loop, .static_secret = secret_key,
		.events = &hf_core_host_socket_events, .context = host};
	struct hf_address bound;
	int status = hf_peer_listener_new(&listener, &options, "127.0.0.1:0", &bound, NULL);

	(void)command;
	if (status == HF_OK)
		json_object_set_new(answer, "port", json_integer(bound.port));
	return status;
}

static int do_allow(const json_t *command, json_t *answer)
{
	(void)answer;
	hf_replication_allow_push(replication, json_is_true(json_object_get(command, "allowed")));
	return HF_OK;
}

static int do_push(const json_t *command, json_t *answer)
{
	(void)answer;
	hf_replication_push(replication, driver_number(command, "block"));
	return HF_OK;
}

static int do_state(const json_t *command, json_t *answer)
{
	struct hf_replicator_stats stats;
	const struct hf_tree *tree = hf_core_committed_tree(core);
	json_t *held = json_array();

	(void)command;
	for (uint64_t block = 0; block < tree->length; block++)
		if (hf_bitfield_get(hf_core_blocks(core), block))
			json_array_append_new(held, json_integer((json_int_t)block));
	hf_replication_stats(replication, &stats);
	json_object_set_new(answer, "fork", json_integer((json_int_t)tree->fork));
	json_object_set_new(answer, "length", json_integer((json_int_t)tree->length));
	json_object_set_new(answer, "held", held);
	json_object_set_new(answer, "blocks_received", json_integer((json_int_t)stats.blocks_received));
	json_object_set_new(answer, "blocks_sent", json_integer((json_int_t)stats.blocks_sent));
	return HF_OK;
}

static int perform(const char *name, const json_t *command, json_t *answer)
{
	static const struct {
		const char *name;
		int (*run)(const json_t *command, json_t *answer);
	} commands[] = {{"open", do_open}, {"append", do_append}, {"truncate", do_truncate}, {"download", do_download}, {"seek", do_seek},
		{"listen", do_listen}, {"allow", do_allow}, {"push", do_push}, {"state", do_state}};

	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (strcmp(name, commands[i].name) == 0)
			return commands[i].run(command, answer);
	return HF_ENOTFOUND;
}

int main(void)
{
	uint8_t public_key[HF_SIGN_PUBLIC_BYTES];

	hf_env_system(&env);
	env.executor = hf_executor_inline();
	if (hf_crypto_init() != HF_OK || hf_loop_new(&loop, &env) != HF_OK)
		driver_die("it cannot start");
	hf_sign_keypair_generate(public_key, secret_key, &env);
	driver_run(loop, perform);
	hf_peer_listener_free(listener);
	if (host != NULL)
		hf_core_host_close_sockets(host);
	hf_replication_leave(replication);
	hf_core_unref(core);
	hf_core_host_free(host);
	hf_loop_free(loop);
	if (store != NULL)
		hf_store_close(store);
	return 0;
}
