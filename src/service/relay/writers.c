/* One sorted list of keys, admins first while it is read. */
#include "service/relay/writers.h"

#include <stdlib.h>

#include "base/file.h"
#include "codec/hex.h"
#include "crypto/schnorr.h"
#include "data/event/event.h"

#define KEY_BYTES 32

enum policy { OPEN, ADMIN, ALLOW, MEMBERS };

static const struct { const char *name, *refusal; } policies[] = {
	[OPEN] = {"open", NULL},
	[ADMIN] = {"admin", "restricted: only administrators may publish here"},
	[ALLOW] = {"allow", "restricted: this author may not write here"},
	[MEMBERS] = {"members", "restricted: only members may publish here"},
};
#define POLICY_COUNT (sizeof policies / sizeof *policies)

struct hf_relay_writers {
	enum policy policy;
	struct hf_buffer keys; /* KEY_BYTES each, sorted */
};

/* ---- Lists ---- */

static int add_key(struct hf_relay_writers *w, struct hf_slice text)
{
	uint8_t key[KEY_BYTES];
	if (text.length != 2 * KEY_BYTES || !hf_hex_decode(key, text.data, KEY_BYTES))
		return HF_EINVAL;
	return hf_buffer_append(&w->keys, key, sizeof key);
}

/* Keys with something of `between` between them. */
static int add_list(struct hf_relay_writers *w, const char *name, const char *text, const char *between, struct hf_failure *failure)
{
	while (*text) {
		size_t length = strcspn(text, between);
		int r = length > 0 ? add_key(w, hf_slice(text, length)) : HF_OK;
		if (r == HF_EINVAL)
			return hf_fail(failure, r, "%s has \"%.*s\"; write keys as 64 small hex digits.", name, length < 80 ? (int)length : 80, text);
		if (r < 0)
			return hf_fail(failure, r, "Out of memory while reading %s.", name);
		text += length;
		text += strspn(text, between);
	}
	return HF_OK;
}

/* Comments become space. */
static void blank_comments(struct hf_buffer *text)
{
	bool in_comment = false;
	for (size_t i = 0; i + 1 < text->length; i++) {
		in_comment = text->data[i] == '#' || (in_comment && text->data[i] != '\n');
		if (in_comment || text->data[i] == '\0')
			text->data[i] = ' ';
	}
}

/* ---- A signed list ---- */

static bool has_key(const struct hf_relay_writers *w, const uint8_t key[static KEY_BYTES])
{
	for (size_t i = 0; i < w->keys.length; i += KEY_BYTES)
		if (memcmp(w->keys.data + i, key, KEY_BYTES) == 0)
			return true;
	return false;
}

static int verify(struct hf_env *env, const struct hf_event *event)
{
	struct hf_schnorr *verifier;
	int r = hf_schnorr_new(&verifier, env, HF_SCHNORR_CACHE_KEYS);
	if (r == HF_OK) {
		r = hf_schnorr_verify(verifier, event->sig, event->id, event->pubkey);
		hf_schnorr_free(verifier);
	}
	return r;
}

/* While the list has the admins and nobody else. */
static int add_event(struct hf_relay_writers *w, struct hf_env *env, const char *path, struct hf_slice text, struct hf_failure *failure)
{
	struct hf_buffer memory = {0};
	struct hf_event event;
	struct hf_tag tag;
	struct hf_json json;
	const char *reason = "invalid: it is no event";
	size_t cursor = 0;
	hf_json_init(&json, text, HF_JSON_DEPTH_MAX);
	int r = hf_event_parse(&json, &memory, HF_EVENT_BYTES_MAX, &event, &reason);
	if (r < 0)
		hf_fail(failure, r, "The list of members %s cannot be used: %s.", path, reason);
	else if (!has_key(w, event.pubkey) || verify(env, &event) < 0)
		r = hf_fail(failure, HF_EBADSIG, "The list of members %s is not signed by an admin of the relay.", path);
	while (r == HF_OK && hf_event_next_tag(&event, &cursor, &tag))
		if (tag.letter == 'p') {
			r = add_key(w, tag.value);
			if (r < 0)
				hf_fail(failure, r, "The list of members %s has a p tag that is no key.", path);
		}
	hf_buffer_free(&memory);
	return r;
}

static int add_file(struct hf_relay_writers *w, struct hf_env *env, const char *path, struct hf_failure *failure)
{
	struct hf_buffer text = {0};
	int r = hf_fs_read_all(env->fs, path, HF_RELAY_MEMBERS_FILE_BYTES_MAX, &text);
	if (r == HF_OK)
		r = hf_buffer_append(&text, "", 1);
	if (r < 0) {
		hf_buffer_free(&text);
		return hf_fail(failure, r, "The list of members %s cannot be read: %s.", path, hf_error_text(r));
	}
	size_t space = strspn((char *)text.data, " \t\r\n");
	if (text.data[space] == '{') {
		r = add_event(w, env, path, hf_slice(text.data, text.length - 1), failure);
	} else {
		blank_comments(&text);
		r = add_list(w, path, (char *)text.data, ", \t\r\n", failure);
	}
	hf_buffer_free(&text);
	return r;
}

/* ---- The whole ---- */

static int parse_policy(struct hf_relay_writers *w, const struct hf_config_relay *settings, struct hf_failure *failure)
{
	w->policy = settings->writers[0] ? ALLOW : OPEN;
	if (!settings->policy[0])
		return HF_OK;
	for (size_t i = 0; i < POLICY_COUNT; i++)
		if (strcmp(settings->policy, policies[i].name) == 0) {
			w->policy = (enum policy)i;
			return HF_OK;
		}
	return hf_fail(failure, HF_EINVAL, "relay.policy is \"%s\"; write open, admin, allow or members.", settings->policy);
}

static int compare_keys(const void *a, const void *b)
{
	return memcmp(a, b, KEY_BYTES);
}

static int fill(struct hf_relay_writers *w, struct hf_env *env, const struct hf_config_relay *settings, struct hf_failure *failure)
{
	int r = add_list(w, "relay.pubkey", settings->pubkey, ", ", failure);
	if (r == HF_OK)
		r = add_list(w, "relay.admins", settings->admins, ", ", failure);
	if (r == HF_OK && w->policy == MEMBERS && settings->members_file[0])
		r = add_file(w, env, settings->members_file, failure);
	if (r == HF_OK && w->policy >= ALLOW)
		r = add_list(w, "relay.writers", settings->writers, ", ", failure);
	if (r == HF_OK && w->keys.length == 0)
		r = hf_fail(failure, HF_EINVAL, "relay.policy is %s, but there is nobody who may publish; name keys in relay.admins.",
			policies[w->policy].name);
	if (r == HF_OK)
		qsort(w->keys.data, w->keys.length / KEY_BYTES, KEY_BYTES, compare_keys);
	return r;
}

int hf_relay_writers_new(struct hf_relay_writers **out, struct hf_env *env, const struct hf_config_relay *settings,
	struct hf_failure *failure)
{
	struct hf_relay_writers *w = calloc(1, sizeof *w);
	*out = NULL;
	if (!w)
		return hf_fail(failure, HF_ENOMEM, "Out of memory while reading who may publish.");
	int r = parse_policy(w, settings, failure);
	if (r == HF_OK && w->policy != OPEN)
		r = fill(w, env, settings, failure);
	if (r < 0)
		hf_relay_writers_free(w);
	else
		*out = w;
	return r;
}

void hf_relay_writers_free(struct hf_relay_writers *w)
{
	if (!w)
		return;
	hf_buffer_free(&w->keys);
	free(w);
}

const char *hf_relay_writers_refuse(const struct hf_relay_writers *w, const uint8_t key[static KEY_BYTES])
{
	bool may = w->policy == OPEN || bsearch(key, w->keys.data, w->keys.length / KEY_BYTES, KEY_BYTES, compare_keys);
	return may ? NULL : policies[w->policy].refusal;
}

bool hf_relay_writers_is_of_members(const struct hf_relay_writers *w)
{
	return w->policy == MEMBERS;
}

bool hf_relay_writers_is_open(const struct hf_relay_writers *w)
{
	return w->policy == OPEN;
}
