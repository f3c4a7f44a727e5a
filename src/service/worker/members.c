/* members: who has joined our relays, each with a token of his own, by which gateways let him in. They are in worker-members.json; to end
 * a membership, its entry is taken out while the worker is stopped. What the file says of relays that are not here now is kept. */
#include <jansson.h>
#include <stdlib.h>

#include "base/log.h"
#include "codec/hex.h"
#include "service/json_hex.h"
#include "service/worker/internal.h"

#define MEMBERS_FILE "worker-members.json"
#define MEMBERS_BYTES_MAX (16u << 20)

static struct hf_log_module log_module = HF_LOG_MODULE("worker");

struct hf_worker_member *hf_worker_find_member(struct hf_worker_relay *relay, const uint8_t pubkey[static 32])
{
	for (size_t i = 0; i < relay->member_count; i++)
		if (memcmp(relay->members[i].pubkey, pubkey, 32) == 0)
			return &relay->members[i];
	return NULL;
}

bool hf_worker_is_member_token(const struct hf_worker_relay *relay, struct hf_slice token)
{
	bool is_one = false;
	for (size_t i = 0; i < relay->member_count && token.length == HF_WORKER_MEMBER_TOKEN_BYTES - 1; i++)
		is_one |= hf_bytes_equal_secret(relay->members[i].token, token.data, token.length);
	return is_one;
}

/* ---- The file ---- */

static json_t *describe(const struct hf_worker_relay *relay, const struct hf_worker_member *member)
{
	return json_pack("{s:o, s:s, s:o, s:s, s:I}", "relay", hf_json_hex(relay->key, 32), "identifier", relay->identifier, "pubkey",
		hf_json_hex(member->pubkey, 32), "token", member->token, "joinedAt", (json_int_t)member->joined_ms);
}

static int save(struct hf_worker_node *node)
{
	char path[HF_PATH_BYTES_MAX];
	json_t *all = json_array();
	if (all && node->other_members)
		json_array_extend(all, node->other_members);
	for (size_t i = 0; all && i < node->relay_count; i++)
		for (size_t k = 0; k < node->relays[i].member_count; k++)
			json_array_append_new(all, describe(&node->relays[i], &node->relays[i].members[k]));
	char *text = all ? json_dumps(all, JSON_INDENT(1)) : NULL;
	json_decref(all);
	int r = text ? hf_path_join(path, node->options.directory, MEMBERS_FILE) : HF_ENOMEM;
	if (r == HF_OK)
		r = hf_fs_replace(node->env->fs, path, text, strlen(text));
	free(text);
	return r;
}

static int insert(struct hf_worker_relay *relay, const struct hf_worker_member *member)
{
	if (relay->member_count == HF_RELAY_MEMBER_COUNT_MAX)
		return HF_ETOOBIG;
	struct hf_worker_member *grown = realloc(relay->members, (relay->member_count + 1) * sizeof *grown);
	if (!grown)
		return HF_ENOMEM;
	relay->members = grown;
	grown[relay->member_count++] = *member;
	return HF_OK;
}

/* Of a relay that is here; else it is put aside. */
static int load_entry(struct hf_worker_node *node, json_t *entry)
{
	const char *relay_text = json_string_value(json_object_get(entry, "relay")), *key = json_string_value(json_object_get(entry, "pubkey"));
	const char *token = json_string_value(json_object_get(entry, "token"));
	struct hf_worker_member member = {.joined_ms = (uint64_t)json_integer_value(json_object_get(entry, "joinedAt"))};
	if (!relay_text || !key || !token || strlen(key) != 64 || !hf_hex_decode(member.pubkey, key, 32) || strlen(token) >= sizeof member.token)
		return HF_ECORRUPT;
	memcpy(member.token, token, strlen(token) + 1);
	struct hf_worker_relay *relay = hf_worker_find_relay(node, hf_slice_text(relay_text));
	if (relay) {
		int r = hf_worker_find_member(relay, member.pubkey) ? HF_OK : insert(relay, &member);
		return r == HF_OK ? hf_relay_add_member(relay->relay, member.pubkey) : r;
	}
	return json_array_append(node->other_members, entry) < 0 ? HF_ENOMEM : HF_OK;
}

int hf_worker_members_load(struct hf_worker_node *node, struct hf_failure *failure)
{
	char path[HF_PATH_BYTES_MAX];
	struct hf_buffer text = {0};
	json_t *entry;
	size_t i;
	int r = hf_path_join(path, node->options.directory, MEMBERS_FILE);
	if (r == HF_OK)
		r = hf_fs_read_all(node->env->fs, path, MEMBERS_BYTES_MAX, &text);
	json_t *all = r == HF_OK ? json_loadb((const char *)text.data, text.length, 0, NULL) : NULL;
	hf_buffer_free(&text);
	if (r == HF_ENOTFOUND)
		return HF_OK;
	node->other_members = json_array();
	if (r == HF_OK)
		r = json_is_array(all) && node->other_members ? HF_OK : HF_ECORRUPT;
	json_array_foreach(all, i, entry)
		if (r == HF_OK)
			r = load_entry(node, entry);
	json_decref(all);
	return r < 0 ? hf_fail(failure, r, "%s cannot be read; it holds who has joined the worker's relays.", path) : HF_OK;
}

/* ---- Joining ---- */

int hf_worker_admit(struct hf_worker_node *node, struct hf_worker_relay *relay, const uint8_t pubkey[static 32],
	const struct hf_worker_member **out)
{
	uint8_t token[(HF_WORKER_MEMBER_TOKEN_BYTES - 1) / 2];
	struct hf_worker_member new = {.joined_ms = hf_env_wall_ms(node->env)}, *member = hf_worker_find_member(relay, pubkey), before = {0};
	node->env->random(node->env, token, sizeof token);
	hf_hex_encode(new.token, token, sizeof token);
	memcpy(new.pubkey, pubkey, sizeof new.pubkey);
	if (member) {
		before = *member;
		*member = new;
	} else {
		int r = insert(relay, &new);
		if (r < 0)
			return r;
		member = &relay->members[relay->member_count - 1];
	}
	int r = save(node);
	if (r < 0)
		hf_log_error(&log_module, "the file of members was not written", "reason=\"%s\"", hf_error_text(r));
	else
		r = hf_relay_add_member(relay->relay, pubkey);
	if (r < 0) {
		if (before.token[0])
			*member = before;
		else
			relay->member_count--;
		return r;
	}
	*out = member;
	return HF_OK;
}

void hf_worker_members_free(struct hf_worker_node *node)
{
	json_decref(node->other_members);
	for (size_t i = 0; i < node->relay_count; i++)
		free(node->relays[i].members);
}
