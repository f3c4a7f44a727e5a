/* A program that knows the installed library alone: it keeps a core in a directory, closes it, and reads it again. tools/check-library
 * builds it as C17 and as C++17, against the shared and the static library. It ends with 0, or says what went wrong. */
#include <holdfast/core_host.h>
#include <holdfast/core_key.h>
#include <holdfast/hash.h>
#include <holdfast/log.h>
#include <stdio.h>
#include <stdlib.h>

static void expect(bool holds, const char *what)
{
	if (!holds) {
		fprintf(stderr, "embed: %s\n", what);
		exit(1);
	}
}

static struct hf_store *store_in(const char *directory, struct hf_env *env)
{
	struct hf_store_options options;
	struct hf_failure failure;
	struct hf_store *store = NULL;

	memset(&options, 0, sizeof options);
	options.size = sizeof options;
	options.directory = directory;
	options.env = env;
	options.schema.describe = hf_corestore_describe;
	expect(hf_store_open(&store, &options, &failure) == HF_OK, failure.text);
	return store;
}

static struct hf_core *core_named(struct hf_corestore *cores, const char *name)
{
	struct hf_core_options options;
	struct hf_failure failure;
	struct hf_core *core = NULL;

	memset(&options, 0, sizeof options);
	options.size = sizeof options;
	options.name = hf_slice_text(name);
	expect(hf_corestore_get(cores, &options, &core, &failure) == HF_OK, failure.text);
	return core;
}

/* Opens everything, adds a block, reads the first, closes everything. Gives the length and the key. */
static uint64_t visit(const char *directory, struct hf_env *env, uint8_t key[32])
{
	static const uint8_t primary_key[32] = {7};
	struct hf_store *store = store_in(directory, env);
	struct hf_loop *loop = NULL;
	struct hf_core_host *host = NULL;
	struct hf_core_host_options options;
	struct hf_failure failure;
	struct hf_buffer block = {NULL, 0, 0};
	struct hf_slice hello = hf_slice_text("hello");
	struct hf_core *core;
	uint64_t length;

	expect(hf_loop_new(&loop, env) == HF_OK, "no loop");
	memset(&options, 0, sizeof options);
	options.size = sizeof options;
	options.loop = loop;
	options.blocking = true;
	options.store = store;
	options.primary_key = hf_slice(primary_key, sizeof primary_key);
	expect(hf_core_host_new(&host, &options, &failure) == HF_OK, failure.text);
	core = core_named(hf_core_host_cores(host), "greetings");
	expect(hf_core_append(core, &hello, 1, NULL) == HF_OK, "append");
	expect(hf_core_commit_wait(core, HF_DURABLE_DISK) == HF_OK, "commit");
	expect(hf_core_get(core, 0, &block) == HF_OK && hf_slice_equal(hf_buffer_slice(&block), hello), "get");
	hf_buffer_free(&block);
	memcpy(key, hf_core_key(core), HF_CORE_KEY_BYTES);
	length = hf_core_length(core);
	hf_core_unref(core);
	hf_core_host_free(host);
	hf_loop_free(loop);
	hf_store_close(store);
	return length;
}

int main(int argc, char **argv)
{
	struct hf_env env;
	uint8_t key[HF_CORE_KEY_BYTES], again[HF_CORE_KEY_BYTES], decoded[HF_CORE_KEY_BYTES];
	char text[HF_CORE_ID_BYTES];

	expect(argc == 2, "usage: embed DIRECTORY");
	expect(hf_crypto_init() == HF_OK, "no random source");
	hf_env_system(&env);
	env.executor = hf_executor_inline();
	expect(visit(argv[1], &env, key) == 1, "the length of a new core");
	expect(visit(argv[1], &env, again) == 2, "the length of the same core, opened again");
	expect(memcmp(key, again, sizeof key) == 0, "the same name gives the same key");
	hf_core_key_encode(text, key);
	expect(hf_core_key_decode(decoded, hf_slice_text(text)) == HF_OK && memcmp(key, decoded, sizeof key) == 0, "a key as text");
	expect(hf_namespaces[HF_NAMESPACE_TREE][0] != hf_namespaces[HF_NAMESPACE_MANIFEST][0], "variables of the library");
	return 0;
}
