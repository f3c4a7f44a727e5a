/* key: what the key ring holds; secrets are never printed. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "codec/core_key.h"
#include "codec/hex.h"
#include "crypto/hash.h"
#include "crypto/namespace.h"
#include "service/keyring.h"

static json_t *describe(const struct hf_key *key)
{
	char id[2 * HF_KEY_ID_BYTES + 1] = {0}, public_key[2 * HF_KEY_PUBLIC_BYTES_MAX + 1] = {0};
	hf_hex_encode(id, key->id, HF_KEY_ID_BYTES);
	hf_hex_encode(public_key, key->public_key, key->public_length);
	return json_pack("{s:s, s:s, s:s, s:s, s:I}", "purpose", hf_key_purpose_name(key->purpose), "state", hf_key_state_name(key->state),
		"id", id, "public", public_key, "made_ms", (json_int_t)key->made_ms);
}

static void print_key(const struct hf_cli *cli, const struct hf_key *key)
{
	json_t *object = describe(key);
	if (cli->json) {
		char *text = json_dumps(object, JSON_COMPACT);
		puts(text ? text : "{}");
		free(text);
	} else {
		const char *public_key = json_string_value(json_object_get(object, "public"));
		printf("%-16s %-9s %s%s%s\n", hf_key_purpose_name(key->purpose), hf_key_state_name(key->state),
			json_string_value(json_object_get(object, "id")), public_key[0] ? "  public " : "", public_key);
	}
	json_decref(object);
}

/* Keys are small files that are only replaced as a whole, so looking at them, and adding one, needs no lock. */
static int open_ring(struct hf_cli *cli, struct hf_datadir *directory, struct hf_keys **keys, struct hf_failure *failure)
{
	char format[HF_PATH_BYTES_MAX];
	*directory = (struct hf_datadir){.env = &cli->env, .lock_descriptor = -1};
	snprintf(directory->path, sizeof directory->path, "%s", cli->config->data);
	if (hf_datadir_path(directory, "FORMAT", format) < 0 || !hf_fs_exists(cli->env.fs, format))
		return hf_fail(failure, HF_ENOTFOUND, "There is no data directory at %s.", directory->path);
	return hf_keyring_open(keys, directory, "keys", failure);
}

int hf_cli_key_show(struct hf_cli *cli)
{
	struct hf_datadir directory;
	struct hf_keys *keys = NULL;
	struct hf_failure failure = {0};
	failure.code = hf_crypto_init();
	if (failure.code == HF_OK)
		failure.code = open_ring(cli, &directory, &keys, &failure);
	if (failure.code < 0)
		return hf_cli_fail(&failure);
	size_t cursor = 0;
	for (const struct hf_key *key; (key = hf_keys_next(keys, &cursor)) != NULL;)
		print_key(cli, key);
	hf_keys_free(keys);
	return HF_CLI_OK;
}

/* Makes the data directory when there is none. */
static int ensure_directory(struct hf_cli *cli, struct hf_failure *failure)
{
	struct hf_datadir directory;
	int r = hf_datadir_open(&directory, &cli->env, cli->config->data, true, failure);
	hf_datadir_close(&directory);
	if (r == HF_EBUSY)
		*failure = (struct hf_failure){0};
	return r == HF_EBUSY ? HF_OK : r;
}

int hf_cli_key_new(struct hf_cli *cli)
{
	struct hf_datadir directory;
	struct hf_keys *keys = NULL;
	struct hf_key *key = NULL;
	struct hf_failure failure = {0};
	int r = hf_crypto_init();
	if (r == HF_OK)
		r = ensure_directory(cli, &failure);
	if (r == HF_OK)
		r = open_ring(cli, &directory, &keys, &failure);
	if (r == HF_OK && (r = hf_keys_generate(keys, &cli->env, HF_KEY_CORE_SIGNER, &key)) < 0)
		hf_fail(&failure, r, "Making the key failed: %s.", r == HF_ETOOBIG ? "the key ring is full" : hf_error_text(r));
	if (r == HF_OK)
		r = hf_keyring_save(keys, &directory, "keys", &failure);
	if (r == HF_OK)
		print_key(cli, key);
	hf_keys_free(keys);
	failure.code = r;
	return r < 0 ? hf_cli_fail(&failure) : HF_CLI_OK;
}

/* Keys that can be changed without anything being lost that they made: others find the new one by the old one's word. */
static const enum hf_key_purpose rotatable[] = {HF_KEY_SWARM, HF_KEY_GATEWAY_SIGNING};

static int find_rotatable(const struct hf_cli *cli, enum hf_key_purpose *purpose, struct hf_failure *failure)
{
	const char *name = cli->argument_count > 0 ? cli->arguments[0] : hf_key_purpose_name(HF_KEY_SWARM);
	for (size_t i = 0; i < sizeof rotatable / sizeof *rotatable; i++)
		if (strcmp(name, hf_key_purpose_name(rotatable[i])) == 0) {
			*purpose = rotatable[i];
			return HF_OK;
		}
	return hf_fail(failure, HF_EINVAL, "\"%.40s\" is no key that can be rotated: swarm (the key by which peers know this process), or "
		"gateway-signing.", name);
}

static void tell_when(enum hf_key_purpose purpose)
{
	fprintf(stderr, purpose == HF_KEY_SWARM
		? "holdfast: what runs here goes on under the old key until it is started again; a reload does not do.\n"
		: "holdfast: a gateway that runs here signs with it from `holdfast admin reload` on; the bee of its relay goes on under the old key "
		  "until the next start.\n");
	fprintf(stderr, "holdfast: the old key is kept, and can be ended with `holdfast key revoke ID`.\n");
}

int hf_cli_key_rotate(struct hf_cli *cli)
{
	struct hf_datadir directory;
	struct hf_keys *keys = NULL;
	struct hf_failure failure = {0};
	enum hf_key_purpose purpose = HF_KEY_SWARM;
	int r = find_rotatable(cli, &purpose, &failure);
	if (r == HF_OK)
		r = hf_crypto_init();
	if (r == HF_OK)
		r = open_ring(cli, &directory, &keys, &failure);
	if (r == HF_OK && !hf_keys_active(keys, purpose))
		r = hf_fail(&failure, HF_ENOTFOUND, "There is no %s key yet that could be put aside.", hf_key_purpose_name(purpose));
	if (r == HF_OK)
		r = hf_keys_generate(keys, &cli->env, purpose, NULL);
	if (r == HF_OK)
		r = hf_keys_rotate(keys, purpose, hf_env_wall_ms(&cli->env));
	if (r == HF_OK)
		r = hf_keyring_save(keys, &directory, "keys", &failure);
	if (r == HF_OK) {
		print_key(cli, hf_keys_active(keys, purpose));
		tell_when(purpose);
	}
	hf_keys_free(keys);
	if (r < 0 && !failure.text[0])
		hf_fail(&failure, r, "The key was not rotated: %s.", r == HF_ETOOBIG ? "the key ring is full" : hf_error_text(r));
	failure.code = r;
	return r < 0 ? hf_cli_fail(&failure) : HF_CLI_OK;
}

int hf_cli_key_revoke(struct hf_cli *cli)
{
	struct hf_datadir directory;
	struct hf_keys *keys = NULL;
	struct hf_failure failure = {0};
	uint8_t id[HF_KEY_ID_BYTES];
	if (cli->argument_count == 0 || strlen(cli->arguments[0]) != 2 * sizeof id || !hf_hex_decode(id, cli->arguments[0], sizeof id)) {
		fprintf(stderr, "holdfast: give the ID of a key, 32 characters of hexadecimal, as `holdfast key show` prints it.\n");
		return HF_CLI_USAGE;
	}
	int r = hf_crypto_init();
	if (r == HF_OK)
		r = open_ring(cli, &directory, &keys, &failure);
	const struct hf_key *key = r == HF_OK ? hf_keys_find(keys, id) : NULL;
	if (r == HF_OK && !key)
		r = hf_fail(&failure, HF_ENOTFOUND, "There is no key with that ID.");
	if (r == HF_OK && key->state != HF_KEY_RETIRING && key->state != HF_KEY_NEXT)
		r = hf_fail(&failure, HF_EINVAL, "That key is %s; only one that was put aside is ended here. `holdfast key rotate` makes another one "
			"active.", hf_key_state_name(key->state));
	if (r == HF_OK)
		r = hf_keys_revoke(keys, id, hf_env_wall_ms(&cli->env));
	if (r == HF_OK)
		r = hf_keyring_save(keys, &directory, "keys", &failure);
	if (r == HF_OK)
		print_key(cli, key);
	hf_keys_free(keys);
	failure.code = r;
	return r < 0 ? hf_cli_fail(&failure) : HF_CLI_OK;
}

int hf_cli_key_convert(struct hf_cli *cli)
{
	uint8_t key[32], discovery_key[32];
	char z32[HF_CORE_ID_BYTES], hex[65] = {0}, discovery_hex[65] = {0};
	if (cli->argument_count == 0 || hf_core_key_decode(key, hf_slice_text(cli->arguments[0])) < 0) {
		fprintf(stderr, "holdfast: %s%.80s%s 52 characters of z-base-32, or 64 of hexadecimal. `holdfast key convert --help` shows how.\n",
			cli->argument_count ? "\"" : "", cli->argument_count ? cli->arguments[0] : "Give a KEY:",
			cli->argument_count ? "\" is no core key: that is" : "");
		return HF_CLI_USAGE;
	}
	hf_core_key_encode(z32, key);
	hf_hex_encode(hex, key, sizeof key);
	hf_discovery_key(discovery_key, key);
	hf_hex_encode(discovery_hex, discovery_key, sizeof discovery_key);
	printf(cli->json ? "{\"z32\":\"%s\",\"hex\":\"%s\",\"discovery_key\":\"%s\"}\n"
		: "z32            %s\nhex            %s\ndiscovery key  %s\n", z32,
		hex, discovery_hex);
	return HF_CLI_OK;
}
