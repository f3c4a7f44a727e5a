/* key: what the key ring holds; secrets are never printed. */
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

#include "cli/command.h"
#include "codec/hex.h"
#include "crypto/hash.h"
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

/* Keys are small files that are only replaced as a whole, so looking at them needs no lock. */
int hf_cli_key_show(struct hf_cli *cli)
{
	struct hf_datadir directory = {.env = &cli->env, .lock_descriptor = -1};
	struct hf_keys *keys = NULL;
	struct hf_failure failure = {0};
	char format[HF_PATH_BYTES_MAX];
	snprintf(directory.path, sizeof directory.path, "%s", cli->config->data);
	int r = hf_crypto_init();
	if (r == HF_OK && (hf_datadir_path(&directory, "FORMAT", format) < 0 || !hf_fs_exists(cli->env.fs, format)))
		r = hf_fail(&failure, HF_ENOTFOUND, "There is no data directory at %s.", directory.path);
	if (r == HF_OK)
		r = hf_keyring_open(&keys, &directory, "keys", &failure);
	if (r < 0) {
		failure.code = r;
		return hf_cli_fail(&failure);
	}
	size_t cursor = 0;
	for (const struct hf_key *key; (key = hf_keys_next(keys, &cursor)) != NULL;)
		print_key(cli, key);
	hf_keys_free(keys);
	return HF_CLI_OK;
}
