/* actions_bee: bees: making one, telling what it is, and changing it. Reading: actions_bee_read.c. */
#include <stdio.h>

#include "service/actions_private.h"

typedef unsigned long long ull;

/* ---- Opening ---- */

int hf_action_bee_fail(struct hf_action_run *run, struct hf_bee *bee, int status)
{
	struct hf_failure *failure = &run->call->failure;
	struct hf_bee_header header;
	size_t count;
	switch (status) {
	case HF_EWAIT:
		return hf_fail(failure, status, "Block %llu is not held here; `holdfast bee fetch` brings it from a peer.",
			(ull)hf_bee_wants(bee, &count)[0]);
	case HF_EMALFORMED:
		if (hf_bee_get_header(bee, &header) == HF_EMALFORMED)
			return hf_fail(failure, status, "The core is no bee, or it is encrypted: its first block is not the header of a bee.");
		if (json_object_get(run->arguments, "at") || json_object_get(run->arguments, "from"))
			return hf_fail(failure, status, "The bee cannot be read at that version: it is in the middle of a batch, or the bee is malformed.");
		return hf_fail(failure, status, "The bee is malformed: one of its blocks, or what refers to it, is not as a bee's are.");
	case HF_EDENIED: return hf_fail(failure, status, "The bee cannot be changed: its secret key is not in this data directory.");
	case HF_ETOOBIG:
		return hf_fail(failure, status, "A key and its value have %u bytes together at most.", HF_BEE_ENTRY_BYTES_MAX);
	case HF_EBUSY:
		return hf_fail(failure, status, "A batch has %u changes and %u MiB at most.", HF_BEE_PENDING_COUNT_MAX, HF_BEE_PENDING_BYTES_MAX >> 20);
	case HF_ENOSPC: return hf_fail(failure, status, "The changes were not stored: the disk, or the quota of store.quota, is full.");
	case HF_ENOTFOUND: return hf_fail(failure, status, "There is no such key.");
	default: return hf_fail(failure, status, "The bee cannot be read or changed: %s.", hf_error_text(status));
	}
}

/* Block 0 is looked at when it is here: without it, a core of one block that is none would look like an empty bee. */
static int check_header(struct hf_action_run *run, struct hf_bee *bee)
{
	struct hf_bee_header header;
	int r = hf_bee_get_header(bee, &header);
	return r == HF_EWAIT || r == HF_ENOTFOUND || r == HF_OK ? HF_OK : hf_action_bee_fail(run, bee, r);
}

int hf_action_open_bee(struct hf_action_run *run, struct hf_bee **out)
{
	struct hf_core *core;
	int r = hf_action_open_core(run, &core);
	if (r < 0)
		return r;
	struct hf_bee_options options = {.size = sizeof options, .core = core, .hinter = run->call->hinter};
	if (hf_action_core_is_sealed(core) && !hf_core_is_encrypted(core))
		r = hf_fail(&run->call->failure, HF_EDENIED, "The bee is encrypted; give its --encryption-key.");
	else
		r = hf_bee_open(out, &options);
	hf_core_unref(core);
	if (r == HF_OK && (r = check_header(run, *out)) < 0)
		hf_bee_close(*out);
	return r;
}

void hf_action_close_bee(struct hf_action_run *run, struct hf_bee *bee)
{
	hf_bee_wait_cancel(&run->waiter);
	hf_bee_close(bee);
}

static void on_ready(struct hf_bee_waiter *waiter, int status)
{
	struct hf_action_run *run = waiter->context;
	(void)status;
	run->is_ready = true;
}

bool hf_action_bee_again(struct hf_action_run *run, struct hf_bee *bee, int *status)
{
	struct hf_action_call *call = run->call;
	if (*status != HF_EWAIT || !call->turn)
		return false;
	run->waiter.ready = on_ready;
	run->waiter.context = run;
	run->is_ready = false;
	*status = hf_bee_wait(bee, &run->waiter);
	while (*status == HF_OK && !run->is_ready)
		*status = call->turn(call->context, &call->failure);
	return *status == HF_OK;
}

/* ---- Making, telling ---- */

/* The first block, which shows that the core is a bee. */
static int write_header(struct hf_action_run *run, struct hf_core *core)
{
	static const struct hf_bee_header plain;
	struct hf_buffer bytes = {0};
	struct hf_bee *bee;
	struct hf_bee_options options = {.size = sizeof options, .core = core};
	int r;
	if (hf_core_length(core) > 0) {
		r = hf_bee_open(&bee, &options);
		if (r == HF_OK) {
			r = check_header(run, bee);
			hf_bee_close(bee);
		}
		return r;
	}
	if (!hf_core_is_writable(core))
		return hf_fail(&run->call->failure, HF_EDENIED, "The bee cannot be made: nobody here may sign for its core.");
	r = hf_bee_header_encode(&plain, &bytes);
	struct hf_slice block = hf_buffer_slice(&bytes);
	if (r == HF_OK)
		r = hf_core_append(core, &block, 1, NULL);
	hf_buffer_free(&bytes);
	return r;
}

int hf_action_bee_create(struct hf_action_run *run)
{
	return hf_action_make_core(run, write_header);
}

static json_t *header_text(struct hf_slice bytes)
{
	json_t *text = json_stringn((const char *)bytes.data, bytes.length);
	return text ? text : json_string("(bytes)");
}

int hf_action_bee_info(struct hf_action_run *run)
{
	struct hf_bee_header header = {0};
	struct hf_bee *bee;
	int r = hf_action_open_bee(run, &bee);
	if (r < 0)
		return r;
	json_t *facts = hf_action_core_facts(run, hf_bee_core(bee));
	if (facts) {
		bool has_header = hf_bee_get_header(bee, &header) == HF_OK;
		json_object_set_new(facts, "version", json_integer((json_int_t)hf_bee_version(bee)));
		if (has_header && header.has_content_feed)
			json_object_set_new(facts, "content_feed", hf_json_hex(header.content_feed.data, header.content_feed.length));
		if (has_header && header.has_user_data)
			json_object_set_new(facts, "user_data", header_text(header.user_data));
	}
	hf_bee_close(bee);
	return hf_action_append(&run->call->out, facts);
}

/* ---- Changing ---- */

struct changing {
	struct hf_action_run *run;
	struct hf_bee *bee;
	struct hf_slice expected;  /* the value that a change must find */
	bool has_expected, if_absent, skip_same;
	bool is_refused;           /* the last check said no */
	json_int_t put, deleted, refused, missing, same;
};

static bool check(void *context, const struct hf_bee_entry *now, const struct hf_bee_entry *next)
{
	struct changing *c = context;
	c->is_refused = c->if_absent || (c->has_expected && !(now->has_value && hf_slice_equal(now->value, c->expected)));
	return !c->is_refused;
}

/* Whether a change of a key that is not there would be one of a value that was expected. */
static int expects_more(struct changing *c, struct hf_slice key, bool *yes)
{
	struct hf_bee_entry entry;
	int r;
	*yes = false;
	if (!c->has_expected)
		return HF_OK;
	do
		r = hf_bee_get_pending(c->bee, key, &entry);
	while (hf_action_bee_again(c->run, c->bee, &r));
	*yes = r == HF_ENOTFOUND;
	return *yes ? HF_OK : r;
}

static int change_one(struct changing *c, struct hf_slice key, const struct hf_slice *value, bool is_del)
{
	struct hf_bee_change change = {.check = c->if_absent || c->has_expected ? check : NULL, .context = c, .skip_same = c->skip_same};
	bool is_refused;
	int r = expects_more(c, key, &is_refused);
	if (r < 0 || is_refused) {
		c->refused += is_refused;
		return r;
	}
	c->is_refused = false;
	do
		r = is_del ? hf_bee_del(c->bee, key, &change) : hf_bee_put(c->bee, key, value, &change);
	while (hf_action_bee_again(c->run, c->bee, &r));
	c->refused += r == HF_ECANCELED && c->is_refused;
	c->missing += r == HF_ENOTFOUND;
	c->same += r == HF_EDUPLICATE;
	c->put += r == HF_OK && !is_del;
	c->deleted += r == HF_OK && is_del;
	return (r == HF_ECANCELED && c->is_refused) || r == HF_ENOTFOUND || r == HF_EDUPLICATE ? HF_OK : r;
}

/* Takes so many bytes from the front of data; false when there are fewer. */
static bool take(struct hf_slice *data, json_int_t length, struct hf_slice *out)
{
	if (length < 0 || (uint64_t)length > data->length)
		return false;
	*out = hf_slice(data->data, (size_t)length);
	data->data += length;
	data->length -= (size_t)length;
	return true;
}

static int change_all(struct changing *c)
{
	struct hf_failure *failure = &c->run->call->failure;
	json_t *sizes = json_object_get(c->run->arguments, "sizes");
	struct hf_slice data = c->run->data, key, value;
	int r = HF_OK;
	for (size_t i = 0; r == HF_OK && i + 1 < json_array_size(sizes); i += 2) {
		json_int_t value_bytes = json_integer_value(json_array_get(sizes, i + 1));
		if (!take(&data, json_integer_value(json_array_get(sizes, i)), &key) || (value_bytes >= 0 && !take(&data, value_bytes, &value)))
			return hf_fail(failure, HF_EINVAL, "The sizes of keys and values do not match the bytes that follow.");
		r = change_one(c, key, value_bytes >= 0 ? &value : NULL, value_bytes == HF_ACTION_BEE_NOTHING);
	}
	return r;
}

static int read_conditions(struct changing *c)
{
	json_t *expected = json_object_get(c->run->arguments, "if");
	c->has_expected = json_is_integer(expected);
	c->if_absent = json_is_true(json_object_get(c->run->arguments, "if_absent"));
	c->skip_same = json_is_true(json_object_get(c->run->arguments, "skip_same"));
	if (c->has_expected && !take(&c->run->data, json_integer_value(expected), &c->expected))
		return hf_fail(&c->run->call->failure, HF_EINVAL, "The sizes of keys and values do not match the bytes that follow.");
	return HF_OK;
}

int hf_action_bee_change(struct hf_action_run *run)
{
	struct changing c = {.run = run};
	bool is_synced = json_is_true(json_object_get(run->arguments, "disk"));
	int r = read_conditions(&c);
	if (r == HF_OK)
		r = hf_action_open_bee(run, &c.bee);
	if (r < 0)
		return r;
	r = change_all(&c);
	if (r == HF_OK)
		r = hf_bee_flush(c.bee);
	if (r == HF_OK)
		r = hf_core_commit_wait(hf_bee_core(c.bee), is_synced ? HF_DURABLE_DISK : HF_DURABLE_OS);
	if (r == HF_OK)
		r = hf_action_append(&run->call->out, json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "put", c.put, "deleted", c.deleted, "refused",
			c.refused, "missing", c.missing, "same", c.same, "version", (json_int_t)hf_bee_version(c.bee)));
	else if (!run->call->failure.text[0])
		r = hf_action_bee_fail(run, c.bee, r);
	hf_action_close_bee(run, c.bee);
	return r;
}
