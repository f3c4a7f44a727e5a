/* core_driver: cores, bees and drives driven from outside, for the differential tests of test/interop: a JSON command a line on standard
 * input, a JSON answer a line on standard output. Usage: core_driver DIRECTORY. The commands are described in
 * test/interop/lib/core_driver.mjs.
 * What cannot be understood ends the program. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec/base64.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "crypto/sign.h"
#include "core_driver.h"
#include "wire/replication.h"

#define CORES_MAX 16
#define BLOCKS_MAX 4096

/* ---- JSON ---- */

void die(const char *what)
{
	fprintf(stderr, "core_driver: %s\n", what);
	exit(1);
}

uint64_t number(const json_t *command, const char *name)
{
	const json_t *value = json_object_get(command, name);

	if (!json_is_integer(value) || json_integer_value(value) < 0)
		die(name);
	return (uint64_t)json_integer_value(value);
}

uint8_t *bytes(const json_t *command, const char *name, size_t *length)
{
	const json_t *value = json_object_get(command, name);
	uint8_t *out;

	if (value == NULL)
		return NULL;
	if (!json_is_string(value) || json_string_length(value) % 2 != 0 || (*length > 0 && json_string_length(value) != 2 * *length))
		die(name);
	*length = json_string_length(value) / 2;
	out = malloc(*length + 1);
	if (out == NULL || !hf_hex_decode(out, json_string_value(value), *length))
		die(name);
	return out;
}

void set_hex(json_t *answer, const char *name, struct hf_slice value)
{
	char *text = malloc(2 * value.length + 1);

	if (text == NULL)
		die("no memory");
	hf_hex_encode(text, value.data, value.length);
	json_object_set_new(answer, name, json_stringn(text, 2 * value.length));
	free(text);
}

void set_number(json_t *answer, const char *name, uint64_t value)
{
	json_object_set_new(answer, name, json_integer((json_int_t)value));
}

/* ---- Opening ---- */

static void open_store(struct driver *d)
{
	static const uint8_t primary_key[32] = {1};
	struct hf_store_options options = {.size = sizeof options, .directory = d->directory, .env = &d->env,
		.schema = {.describe = hf_corestore_describe}};
	struct hf_corestore_options cores = {.size = sizeof cores, .env = &d->env, .primary_key = hf_slice(primary_key, 32), .blocking = true};

	if (hf_store_open(&d->store, &options, &d->failure) != HF_OK)
		die(d->failure.text);
	cores.store = d->store;
	if (hf_corestore_open(&d->cores, &cores, &d->failure) != HF_OK)
		die(d->failure.text);
}

void close_slot(struct slot *slot)
{
	close_drive(slot);
	close_bee(slot);
	hf_core_unref(slot->core);
	hf_reorg_free(&slot->reorg);
	hf_buffer_free(&slot->signature);
	*slot = (struct slot){.core = NULL};
}

static void close_store(struct driver *d)
{
	for (size_t i = 0; i < CORES_MAX; i++)
		close_slot(&d->slots[i]);
	hf_corestore_close(d->cores);
	hf_store_close(d->store);
}

static int do_open(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	struct hf_core_options options = {.size = sizeof options, .compat = json_is_true(json_object_get(command, "compat"))};
	uint8_t public_key[HF_SIGN_PUBLIC_BYTES], secret_key[HF_SIGN_SECRET_BYTES];
	size_t seed_bytes = 32, key_bytes = HF_CORE_KEY_BYTES, encryption_bytes = 32, manifest_bytes = 0;
	uint8_t *seed = bytes(command, "seed", &seed_bytes), *key = bytes(command, "key", &key_bytes);
	uint8_t *encryption_key = bytes(command, "encryption_key", &encryption_bytes), *encoded = bytes(command, "manifest", &manifest_bytes);
	struct hf_manifest manifest = {.version = 0};
	int status = encoded == NULL ? HF_OK : hf_manifest_decode(&manifest, hf_slice(encoded, manifest_bytes));

	close_slot(slot);
	if (seed != NULL) {
		hf_sign_keypair_from_seed(public_key, secret_key, seed);
		options.secret_key = secret_key;
	}
	options.key = key;
	options.encryption_key = encryption_key;
	options.manifest = encoded == NULL ? NULL : &manifest;
	if (status == HF_OK)
		status = hf_corestore_get(d->cores, &options, &slot->core, &d->failure);
	if (status == HF_OK)
		status = hf_core_commit_wait(slot->core, HF_DURABLE_OS);
	if (status == HF_OK)
		set_hex(answer, "key", hf_slice(hf_core_key(slot->core), HF_CORE_KEY_BYTES));
	free(seed);
	free(key);
	free(encryption_key);
	free(encoded);
	return status;
}

static int do_reopen(struct driver *d)
{
	close_store(d);
	open_store(d);
	return HF_OK;
}

/* ---- Changing ---- */

static int do_append(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	const json_t *list = json_object_get(command, "blocks"), *item;
	struct hf_slice *blocks = calloc(BLOCKS_MAX, sizeof *blocks);
	size_t count = json_array_size(list), i;

	if (blocks == NULL || count > BLOCKS_MAX)
		die("blocks");
	json_array_foreach(list, i, item) {
		size_t text_length = json_string_length(item);
		uint8_t *block = malloc(text_length + 1);

		if (block == NULL || !hf_base64_decode(block, json_string_value(item), text_length, &blocks[i].length))
			die("block");
		blocks[i].data = block;
	}
	int status = hf_core_append(slot->core, blocks, count, NULL);
	for (i = 0; i < count; i++)
		free((void *)(uintptr_t)blocks[i].data);
	free(blocks);
	return status < 0 ? status : hf_core_commit_wait(slot->core, HF_DURABLE_OS);
}

static int do_truncate(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	int status = hf_core_truncate(slot->core, number(command, "length"), number(command, "fork"));

	return status < 0 ? status : hf_core_commit_wait(slot->core, HF_DURABLE_OS);
}

static int do_clear(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	int status = hf_core_clear(slot->core, number(command, "start"), number(command, "end"));

	return status < 0 ? status : hf_core_commit_wait(slot->core, HF_DURABLE_OS);
}

/* ---- Reading ---- */

static int do_get(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	struct hf_buffer block = {0};
	uint64_t index = number(command, "index");
	int status = json_is_true(json_object_get(command, "stored")) ? hf_core_get_stored(slot->core, index, &block)
		: hf_core_get(slot->core, index, &block);
	char *text = malloc(block.length * 2 + 8);

	if (text == NULL)
		die("no memory");
	if (status == HF_OK)
		json_object_set_new(answer, "value", json_stringn(text, hf_base64_encode(text, block.data, block.length)));
	free(text);
	hf_buffer_free(&block);
	return status;
}

static int do_seek(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	struct hf_core_place place;
	int status = hf_core_seek(slot->core, number(command, "bytes"), &place);

	if (status == HF_OK) {
		set_number(answer, "block", place.block);
		set_number(answer, "offset", place.offset);
	} else if (status == HF_EWAIT) {
		set_number(answer, "from", place.from);
		set_number(answer, "to", place.to);
	}
	return status;
}

static json_t *held(const struct hf_bitfield *bits, uint64_t length)
{
	json_t *ranges = json_array();

	for (uint64_t at = 0; (at = hf_bitfield_next_set(bits, at, length)) < length;) {
		uint64_t end = hf_bitfield_next_clear(bits, at, length);

		json_array_append_new(ranges, json_pack("[I, I]", (json_int_t)at, (json_int_t)end));
		at = end;
	}
	return ranges;
}

static int do_state(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	const struct hf_tree *tree = hf_core_tree(slot->core);
	const struct hf_bitfield *bits = hf_core_blocks(slot->core);
	uint8_t hash[HF_TREE_HASH_BYTES];

	hf_tree_hash(tree, hash);
	set_number(answer, "length", tree->length);
	set_number(answer, "fork", tree->fork);
	set_number(answer, "byte_length", tree->byte_length);
	set_number(answer, "contiguous_length", bits->contiguous);
	set_hex(answer, "tree_hash", hf_slice(hash, sizeof hash));
	set_hex(answer, "signature", hf_core_signature(slot->core));
	json_object_set_new(answer, "held", held(bits, tree->length));
	return HF_OK;
}

/* ---- Exchanging ---- */

static int do_prove(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	size_t length = 0;
	uint8_t *body = bytes(command, "request", &length);
	struct hf_replication_request request;
	struct hf_replication_data data = {.request = 1};
	struct hf_buffer scratch = {0}, message = {0};

	if (body == NULL || hf_replication_read_request(hf_slice(body, length), &request) != HF_OK)
		die("request");
	int status = hf_core_prove(slot->core, request.fork, &request.proof, &scratch, &data.proof);
	if (status == HF_OK) {
		struct hf_compact_writer out = hf_compact_writer(&message);

		hf_replication_write_data(&out, &data);
		status = out.status;
		set_hex(answer, "data", hf_buffer_slice(&message));
	}
	free(body);
	hf_buffer_free(&scratch);
	hf_buffer_free(&message);
	return status;
}

/* The data message of a command; *body is freed by the caller, after the proof. */
static void read_data(const json_t *command, uint8_t **body, struct hf_replication_data *data)
{
	size_t length = 0;

	*body = bytes(command, "data", &length);
	if (*body == NULL || hf_replication_read_data(hf_slice(*body, length), data) != HF_OK)
		die("data");
}

static int do_put(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	struct hf_replication_data data;
	bool grew = false;
	uint8_t *body;

	read_data(command, &body, &data);
	int status = hf_core_put_proof(slot->core, &data.proof, &grew, &d->failure);
	if (status == HF_OK)
		status = hf_core_commit_wait(slot->core, HF_DURABLE_OS);
	json_object_set_new(answer, "grew", json_boolean(grew));
	free(body);
	return status;
}

/* Goes on with a fork, until it is adopted or something is missing. */
static int step(struct slot *slot, json_t *answer)
{
	struct hf_tree_reader nodes = hf_core_nodes(slot->core);
	int status = hf_reorg_step(&slot->reorg, &nodes);

	if (status == HF_OK && slot->reorg.finished) {
		status = hf_core_adopt(slot->core, &slot->reorg, hf_buffer_slice(&slot->signature));
		if (status == HF_OK)
			status = hf_core_commit_wait(slot->core, HF_DURABLE_OS);
		set_number(answer, "ancestors", slot->reorg.ancestors);
	} else if (status == HF_OK) {
		set_number(answer, "start", slot->reorg.want_start);
		set_number(answer, "end", slot->reorg.want_end);
		set_number(answer, "nodes", slot->reorg.want_nodes);
	}
	json_object_set_new(answer, "finished", json_boolean(slot->reorg.finished));
	return status;
}

static int do_fork(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	struct hf_replication_data data;
	struct hf_proof_check check = {0};
	uint8_t *body;

	read_data(command, &body, &data);
	hf_reorg_free(&slot->reorg);
	slot->reorg = (struct hf_reorg){.finished = false};
	hf_buffer_clear(&slot->signature);
	int status = hf_core_check_fork(slot->core, &data.proof, &check, &d->failure);
	if (status == HF_OK)
		status = hf_buffer_append(&slot->signature, data.proof.upgrade.signature.data, data.proof.upgrade.signature.length);
	if (status == HF_OK)
		status = hf_reorg_start(&slot->reorg, &check, hf_core_length(slot->core));
	if (status == HF_OK)
		status = step(slot, answer);
	hf_proof_check_free(&check);
	free(body);
	return status;
}

static int do_feed(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	struct hf_replication_data data;
	uint8_t *body;

	read_data(command, &body, &data);
	int status = hf_reorg_feed(&slot->reorg, &data.proof);
	if (status == HF_OK)
		status = step(slot, answer);
	free(body);
	return status;
}

static int do_missing(struct driver *d, struct slot *slot, const json_t *command, json_t *answer)
{
	uint64_t count = 0;
	int status = hf_core_missing_nodes(slot->core, number(command, "index"), &count);

	set_number(answer, "count", count);
	return status;
}

/* ---- Commands ---- */

static const struct driver_command core_commands[] = {
	{"open", do_open}, {"append", do_append}, {"truncate", do_truncate}, {"clear", do_clear}, {"get", do_get}, {"seek", do_seek},
	{"state", do_state}, {"prove", do_prove}, {"put", do_put}, {"fork", do_fork}, {"feed", do_feed}, {"missing", do_missing},
	{NULL, NULL},
};

static const struct driver_command *find(const struct driver_command *commands, const char *name)
{
	while (commands->name != NULL && strcmp(commands->name, name) != 0)
		commands++;
	return commands->name != NULL ? commands : NULL;
}

static int run(struct driver *d, const json_t *command, json_t *answer)
{
	const char *name = json_string_value(json_object_get(command, "do"));

	if (name != NULL && strcmp(name, "reopen") == 0)
		return do_reopen(d);
	uint64_t core = number(command, "core");
	const struct driver_command *found = name != NULL && core < CORES_MAX ? find(core_commands, name) : NULL;

	if (found == NULL)
		found = name != NULL && core < CORES_MAX ? find(bee_commands, name) : NULL;
	if (found == NULL)
		found = name != NULL && core < CORES_MAX ? find(drive_commands, name) : NULL;
	if (found == NULL)
		die("no such command");
	if (d->slots[core].core == NULL && found->run != do_open && found->run != do_drive_open)
		die("this core is not open");
	return found->run(d, &d->slots[core], command, answer);
}

static void answer_line(struct driver *d, const char *line)
{
	json_error_t error;
	json_t *command = json_loads(line, 0, &error), *answer = json_object();

	if (command == NULL || answer == NULL)
		die(error.text);
	d->failure = (struct hf_failure){0};
	int status = run(d, command, answer);
	hf_corestore_poll(d->cores);
	if (status < 0) {
		json_object_set_new(answer, "error", json_string(hf_error_name(status)));
		json_object_set_new(answer, "text", json_string(d->failure.text));
	}
	json_dumpf(answer, stdout, JSON_COMPACT);
	putchar('\n');
	fflush(stdout);
	json_decref(answer);
	json_decref(command);
}

int main(int argc, char **argv)
{
	static struct slot slots[CORES_MAX];
	struct driver d = {.directory = argc == 2 ? argv[1] : NULL, .slots = slots};
	char *line = NULL;
	size_t capacity = 0;

	if (d.directory == NULL || hf_crypto_init() != HF_OK)
		die("usage: core_driver DIRECTORY");
	hf_env_system(&d.env);
	open_store(&d);
	while (getline(&line, &capacity, stdin) > 0)
		answer_line(&d, line);
	close_store(&d);
	free(line);
	return 0;
}
