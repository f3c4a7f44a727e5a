/* The ring is an array in order of arrival; with at most a few hundred keys every question is a walk over it. */
#include "crypto/keys.h"

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>

#include "crypto/hash.h"
#include "crypto/schnorr.h"

#define RECORD_HEAD_BYTES 66
#define RECORD_CHECKSUM_BYTES 16
#define RECORD_VERSION 1

static const char record_magic[8] = {'h', 'f', 'k', 'e', 'y', 'r', 'e', 'c'};

struct hf_keys {
	size_t count;
	struct hf_key *keys[HF_KEYS_COUNT_MAX];
};

struct purpose {
	const char *name;
	size_t public_length, secret_length; /* secret_length 0: any */
};

static const struct purpose purposes[HF_KEY_PURPOSE_END] = {
	[HF_KEY_SWARM] = {"swarm", crypto_sign_PUBLICKEYBYTES, crypto_sign_SECRETKEYBYTES},
	[HF_KEY_STORE_PRIMARY] = {"store-primary", 0, 32},
	[HF_KEY_GATEWAY_SIGNING] = {"gateway-signing", crypto_sign_PUBLICKEYBYTES, crypto_sign_SECRETKEYBYTES},
	[HF_KEY_RELAY_IDENTITY] = {"relay-identity", HF_SCHNORR_PUBLIC_BYTES, HF_SCHNORR_SECRET_BYTES},
	[HF_KEY_TLS] = {"tls", 0, 0},
	[HF_KEY_CORE_SIGNER] = {"core-signer", crypto_sign_PUBLICKEYBYTES, crypto_sign_SECRETKEYBYTES},
};

static bool is_purpose(unsigned purpose)
{
	return purpose > 0 && purpose < HF_KEY_PURPOSE_END;
}

const char *hf_key_purpose_name(enum hf_key_purpose purpose)
{
	return is_purpose(purpose) ? purposes[purpose].name : NULL;
}

const char *hf_key_state_name(enum hf_key_state state)
{
	static const char *const names[HF_KEY_STATE_END] = {NULL, "next", "active", "retiring", "revoked"};
	return (unsigned)state < HF_KEY_STATE_END ? names[state] : NULL;
}

void hf_key_file_name(const struct hf_key *key, char out[static HF_KEY_FILE_NAME_BYTES])
{
	char id[2 * HF_KEY_ID_BYTES + 1];
	sodium_bin2hex(id, sizeof id, key->id, sizeof key->id);
	snprintf(out, HF_KEY_FILE_NAME_BYTES, "%s-%s.key", purposes[key->purpose].name, id);
}

int hf_keys_new(struct hf_keys **out)
{
	*out = calloc(1, sizeof **out);
	return *out ? HF_OK : HF_ENOMEM;
}

static void free_key(struct hf_key *key)
{
	hf_secret_free(&key->secret);
	hf_secret_free(&key->extension);
	free(key);
}

void hf_keys_free(struct hf_keys *keys)
{
	if (!keys)
		return;
	for (size_t i = 0; i < keys->count; i++)
		free_key(keys->keys[i]);
	free(keys);
}

static bool lengths_fit(enum hf_key_purpose purpose, size_t public_length, size_t secret_length)
{
	const struct purpose *known = &purposes[purpose];
	if (public_length != known->public_length || secret_length > HF_KEY_SECRET_BYTES_MAX)
		return false;
	return known->secret_length ? secret_length == known->secret_length : secret_length > 0;
}

int hf_keys_add(struct hf_keys *keys, struct hf_env *env, enum hf_key_purpose purpose, struct hf_slice public_key,
		struct hf_slice secret, struct hf_key **out)
{
	if (!is_purpose(purpose) || !lengths_fit(purpose, public_key.length, secret.length))
		return HF_EINVAL;
	if (keys->count == HF_KEYS_COUNT_MAX)
		return HF_ETOOBIG;
	struct hf_key *key = calloc(1, sizeof *key);
	if (!key)
		return HF_ENOMEM;
	int error = hf_secret_copy(&key->secret, secret);
	if (error) {
		free(key);
		return error;
	}
	key->purpose = purpose;
	key->state = HF_KEY_NEXT;
	key->made_ms = hf_env_wall_ms(env);
	key->unsaved = true;
	env->random(env, key->id, sizeof key->id);
	key->public_length = public_key.length;
	if (public_key.length)
		memcpy(key->public_key, public_key.data, public_key.length);
	keys->keys[keys->count++] = key;
	if (out)
		*out = key;
	return HF_OK;
}

/* Draws material of the purpose into a secret that is as long as it must be. */
static int draw_material(struct hf_env *env, enum hf_key_purpose purpose, uint8_t *public_key, struct hf_secret *secret)
{
	struct hf_secret seed;
	struct hf_schnorr *schnorr;
	int error;
	switch (purpose) {
	case HF_KEY_SWARM:
	case HF_KEY_GATEWAY_SIGNING:
	case HF_KEY_CORE_SIGNER:
		error = hf_secret_random(&seed, env, crypto_sign_SEEDBYTES);
		if (!error)
			crypto_sign_seed_keypair(public_key, secret->data, seed.data);
		hf_secret_free(&seed);
		return error;
	case HF_KEY_RELAY_IDENTITY:
		error = hf_schnorr_new(&schnorr, env, 0);
		if (!error)
			hf_schnorr_generate(schnorr, secret->data, public_key);
		hf_schnorr_free(schnorr);
		return error;
	default:
		env->random(env, secret->data, secret->length);
		return HF_OK;
	}
}

int hf_keys_generate(struct hf_keys *keys, struct hf_env *env, enum hf_key_purpose purpose, struct hf_key **out)
{
	uint8_t public_key[HF_KEY_PUBLIC_BYTES_MAX];
	struct hf_secret secret;
	if (!is_purpose(purpose) || purposes[purpose].secret_length == 0)
		return HF_EINVAL;
	int error = hf_secret_new(&secret, purposes[purpose].secret_length);
	if (!error)
		error = draw_material(env, purpose, public_key, &secret);
	if (!error)
		error = hf_keys_add(keys, env, purpose, hf_slice(public_key, purposes[purpose].public_length),
				    hf_secret_slice(&secret), out);
	hf_secret_free(&secret);
	return error;
}

static struct hf_key *active_key(const struct hf_keys *keys, enum hf_key_purpose purpose)
{
	for (size_t i = 0; i < keys->count; i++) {
		if (keys->keys[i]->purpose == purpose && keys->keys[i]->state == HF_KEY_ACTIVE)
			return keys->keys[i];
	}
	return NULL;
}

static void retire(struct hf_key *key, uint64_t now_ms)
{
	key->state = HF_KEY_RETIRING;
	key->retired_ms = now_ms;
	key->unsaved = true;
}

static void revoke(struct hf_key *key, uint64_t now_ms)
{
	key->state = HF_KEY_REVOKED;
	key->revoked_ms = now_ms;
	key->unsaved = true;
	hf_secret_free(&key->secret);
}

int hf_keys_rotate(struct hf_keys *keys, enum hf_key_purpose purpose, uint64_t now_ms)
{
	struct hf_key *next = NULL, *active = active_key(keys, purpose);
	for (size_t i = 0; i < keys->count; i++) {
		struct hf_key *key = keys->keys[i];
		if (key->purpose == purpose && key->state == HF_KEY_NEXT && (!next || key->made_ms < next->made_ms))
			next = key;
	}
	if (!next)
		return HF_ENOTFOUND;
	if (active)
		retire(active, now_ms);
	next->state = HF_KEY_ACTIVE;
	next->activated_ms = now_ms;
	next->unsaved = true;
	return HF_OK;
}

static struct hf_key *find(const struct hf_keys *keys, const uint8_t *id)
{
	for (size_t i = 0; i < keys->count; i++) {
		if (memcmp(keys->keys[i]->id, id, HF_KEY_ID_BYTES) == 0)
			return keys->keys[i];
	}
	return NULL;
}

int hf_keys_revoke(struct hf_keys *keys, const uint8_t id[static HF_KEY_ID_BYTES], uint64_t now_ms)
{
	struct hf_key *key = find(keys, id);
	if (!key)
		return HF_ENOTFOUND;
	if (key->state != HF_KEY_REVOKED)
		revoke(key, now_ms);
	return HF_OK;
}

size_t hf_keys_revoke_retired(struct hf_keys *keys, uint64_t now_ms, uint64_t overlap_ms)
{
	size_t count = 0;
	for (size_t i = 0; i < keys->count; i++) {
		struct hf_key *key = keys->keys[i];
		if (key->state != HF_KEY_RETIRING || now_ms < key->retired_ms || now_ms - key->retired_ms < overlap_ms)
			continue;
		revoke(key, now_ms);
		count++;
	}
	return count;
}

const struct hf_key *hf_keys_active(const struct hf_keys *keys, enum hf_key_purpose purpose)
{
	return active_key(keys, purpose);
}

const struct hf_key *hf_keys_find(const struct hf_keys *keys, const uint8_t id[static HF_KEY_ID_BYTES])
{
	return find(keys, id);
}

const struct hf_key *hf_keys_next_accepted(const struct hf_keys *keys, enum hf_key_purpose purpose, size_t *cursor)
{
	while (*cursor < keys->count) {
		const struct hf_key *key = keys->keys[(*cursor)++];
		if (key->purpose == purpose && key->state != HF_KEY_REVOKED)
			return key;
	}
	return NULL;
}

const struct hf_key *hf_keys_next(const struct hf_keys *keys, size_t *cursor)
{
	return *cursor < keys->count ? keys->keys[(*cursor)++] : NULL;
}

struct hf_key *hf_keys_next_unsaved(struct hf_keys *keys)
{
	struct hf_key *first = NULL;
	for (size_t i = 0; i < keys->count; i++) {
		struct hf_key *key = keys->keys[i];
		if (!key->unsaved)
			continue;
		if (key->state == HF_KEY_ACTIVE)
			return key;
		if (!first)
			first = key;
	}
	return first;
}

void hf_key_saved(struct hf_key *key)
{
	key->unsaved = false;
}

int hf_key_encode(const struct hf_key *key, struct hf_secret *record)
{
	size_t body = key->public_length + key->secret.length + key->extension.length;
	int error = hf_secret_new(record, RECORD_HEAD_BYTES + body + RECORD_CHECKSUM_BYTES);
	if (error)
		return error;
	uint8_t *p = record->data;
	memcpy(p, record_magic, sizeof record_magic);
	hf_store_le16(p + 8, RECORD_VERSION);
	p[10] = (uint8_t)key->purpose;
	p[11] = (uint8_t)key->state;
	memcpy(p + 12, key->id, HF_KEY_ID_BYTES);
	hf_store_le64(p + 28, key->made_ms);
	hf_store_le64(p + 36, key->activated_ms);
	hf_store_le64(p + 44, key->retired_ms);
	hf_store_le64(p + 52, key->revoked_ms);
	hf_store_le16(p + 60, (uint16_t)key->public_length);
	hf_store_le16(p + 62, (uint16_t)key->secret.length);
	hf_store_le16(p + 64, (uint16_t)key->extension.length);
	p += RECORD_HEAD_BYTES;
	memcpy(p, key->public_key, key->public_length);
	p += key->public_length;
	if (key->secret.length)
		memcpy(p, key->secret.data, key->secret.length);
	p += key->secret.length;
	if (key->extension.length)
		memcpy(p, key->extension.data, key->extension.length);
	p += key->extension.length;
	hf_blake2b(p, RECORD_CHECKSUM_BYTES, hf_slice(NULL, 0), hf_slice(record->data, RECORD_HEAD_BYTES + body));
	return HF_OK;
}

/* Whether the record is whole; its version is looked at first, since another one may be laid out otherwise. */
static int check_record(struct hf_slice record)
{
	uint8_t checksum[RECORD_CHECKSUM_BYTES];
	if (record.length < RECORD_HEAD_BYTES + RECORD_CHECKSUM_BYTES || record.length > HF_KEY_RECORD_BYTES_MAX ||
	    memcmp(record.data, record_magic, sizeof record_magic) != 0)
		return HF_EMALFORMED;
	if (hf_load_le16(record.data + 8) != RECORD_VERSION)
		return HF_EVERSION;
	size_t checked = record.length - RECORD_CHECKSUM_BYTES;
	hf_blake2b(checksum, sizeof checksum, hf_slice(NULL, 0), hf_slice(record.data, checked));
	return memcmp(checksum, record.data + checked, sizeof checksum) == 0 ? HF_OK : HF_ECORRUPT;
}

static int decode_record(struct hf_slice record, struct hf_key *key)
{
	const uint8_t *p = record.data;
	size_t public_length = hf_load_le16(p + 60), secret_length = hf_load_le16(p + 62);
	size_t extension_length = hf_load_le16(p + 64);
	size_t body = public_length + secret_length + extension_length;
	if (RECORD_HEAD_BYTES + body + RECORD_CHECKSUM_BYTES != record.length)
		return HF_EMALFORMED;
	if (!is_purpose(p[10]) || p[11] == 0 || p[11] >= HF_KEY_STATE_END ||
	    extension_length > HF_KEY_EXTENSION_BYTES_MAX)
		return HF_EMALFORMED;
	if (p[11] == HF_KEY_REVOKED ? secret_length != 0 || public_length != purposes[p[10]].public_length
				    : !lengths_fit(p[10], public_length, secret_length))
		return HF_EMALFORMED;
	key->purpose = p[10];
	key->state = p[11];
	memcpy(key->id, p + 12, HF_KEY_ID_BYTES);
	key->made_ms = hf_load_le64(p + 28);
	key->activated_ms = hf_load_le64(p + 36);
	key->retired_ms = hf_load_le64(p + 44);
	key->revoked_ms = hf_load_le64(p + 52);
	key->public_length = public_length;
	p += RECORD_HEAD_BYTES;
	memcpy(key->public_key, p, public_length);
	p += public_length;
	int error = hf_secret_copy(&key->secret, hf_slice(p, secret_length));
	if (!error)
		error = hf_secret_copy(&key->extension, hf_slice(p + secret_length, extension_length));
	return error;
}

int hf_keys_load(struct hf_keys *keys, struct hf_slice record)
{
	int error = check_record(record);
	if (error)
		return error;
	if (keys->count == HF_KEYS_COUNT_MAX)
		return HF_ETOOBIG;
	struct hf_key *key = calloc(1, sizeof *key);
	if (!key)
		return HF_ENOMEM;
	error = decode_record(record, key);
	if (!error && find(keys, key->id))
		error = HF_EEXISTS;
	if (error) {
		free_key(key);
		return error;
	}
	/* A rotation whose second write was lost. */
	struct hf_key *other = key->state == HF_KEY_ACTIVE ? active_key(keys, key->purpose) : NULL;
	if (other) {
		bool older = other->activated_ms <= key->activated_ms;
		retire(older ? other : key, older ? key->activated_ms : other->activated_ms);
	}
	keys->keys[keys->count++] = key;
	return HF_OK;
}
