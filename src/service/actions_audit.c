/* actions_audit: the audit log, exported and verified. */
#include "codec/hex.h"
#include "service/actions_private.h"
#include "service/audit.h"

#define TAIL_COUNT 100
#define TAIL_COUNT_MAX 1000

struct exporting {
	struct hf_action_call *call;
	uint64_t next;
};

static int export_one(void *context, uint64_t number, struct hf_slice record, const uint8_t hash[static 32])
{
	struct exporting *e = context;
	if (e->call->page_bytes_max && e->call->out.length >= e->call->page_bytes_max) {
		e->next = number;
		return HF_ECANCELED;
	}
	int r = hf_buffer_append(&e->call->out, record.data, record.length);
	return r == HF_OK ? hf_buffer_append(&e->call->out, "\n", 1) : r;
}

/* The result of reading the chain as far as it was read. */
static json_t *facts(const struct hf_audit_check *check)
{
	json_t *all = json_pack("{s:b, s:I, s:I, s:o}", "sound", check->is_sound, "from", (json_int_t)check->from, "records",
		(json_int_t)check->count, "head", hf_json_hex(check->head, 32));
	if (all && !check->is_sound)
		json_object_set_new(all, "fault", json_integer((json_int_t)check->fault));
	return all;
}

int hf_action_audit_export(struct hf_action_run *run)
{
	struct hf_action_call *call = run->call;
	struct exporting e = {.call = call};
	struct hf_audit_check check;
	uint64_t from;
	int r = hf_action_number(run, "from", 0, &from);
	if (r == HF_OK)
		r = hf_audit_read(call->store, from, export_one, &e, &check);
	if (r == HF_ECANCELED)
		return hf_action_append(&call->out, json_pack("{s:I}", "next", (json_int_t)e.next));
	if (r < 0)
		return r;
	json_t *end = facts(&check);
	if (end)
		json_object_set_new(end, "next", json_null());
	return hf_action_append(&call->out, end);
}

int hf_action_audit_verify(struct hf_action_run *run)
{
	struct hf_action_call *call = run->call;
	struct hf_audit_check check;
	int r = hf_audit_read(call->store, UINT64_MAX, NULL, NULL, &check);
	if (r == HF_OK)
		r = hf_action_append(&call->out, facts(&check));
	if (r < 0 || check.is_sound)
		return r;
	return hf_fail(&call->failure, HF_ECORRUPT, "Record %llu of the audit log does not fit the one before it.",
		(unsigned long long)check.fault);
}

static int tail_one(void *context, uint64_t number, struct hf_slice record)
{
	struct hf_buffer *out = context;
	int r = hf_buffer_append(out, record.data, record.length);
	return r == HF_OK ? hf_buffer_append(out, "\n", 1) : r;
}

int hf_action_audit_tail(struct hf_action_run *run)
{
	uint64_t count;
	int r = hf_action_number(run, "count", TAIL_COUNT, &count);
	return r < 0 ? r : hf_audit_tail(run->call->store, count < TAIL_COUNT_MAX ? count : TAIL_COUNT_MAX, tail_one, &run->call->out);
}
