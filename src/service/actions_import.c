/* actions_import: events from lines of JSON. Lines are checked on the executor's threads, a block of them at a time, and
 * submitted from there; the caller waits until the store has said what became of the last one. Memory is bounded by
 * the input, of which one call takes HF_ACTION_INPUT_BYTES_MAX at most. */
#include <pthread.h>
#include <stdlib.h>

#include "crypto/schnorr.h"
#include "data/event/admission.h"
#include "service/actions_private.h"

#define BLOCK_LINE_COUNT 64

struct line {
	struct hf_admission admission; /* first: found by a cast */
	struct import *import;
	struct hf_slice text;
	struct hf_buffer memory;
	struct hf_event event;
	uint64_t number;
	int status;
	const char *reason;
};

struct import {
	struct hf_action_run *run;
	struct line *lines;
	size_t line_count, waiting;
	pthread_mutex_t lock;
	pthread_cond_t done;
};

struct block {
	struct hf_work work;
	struct import *import;
	size_t first, count;
};

static void finish(struct line *line, int status, const char *reason)
{
	struct import *import = line->import;
	hf_admission_clear(&line->admission);
	hf_buffer_free(&line->memory);
	pthread_mutex_lock(&import->lock);
	line->status = status;
	line->reason = reason;
	if (--import->waiting == 0)
		pthread_cond_signal(&import->done);
	pthread_mutex_unlock(&import->lock);
}

static void committed(struct hf_commit *commit, int status)
{
	struct line *line = (struct line *)(void *)commit;
	const char *reason = line->admission.reason;
	finish(line, status, reason ? reason : status == HF_OK || status == HF_EDUPLICATE ? NULL : hf_error_text(status));
}

/* HF_OK when the line is ready for the store. */
static int check(struct line *line, struct hf_schnorr *schnorr, const char **reason)
{
	struct hf_action_call *call = line->import->run->call;
	struct hf_json json;
	struct hf_json_token token;
	*reason = "invalid: not JSON";
	hf_json_init(&json, line->text, HF_JSON_DEPTH_MAX);
	int r = hf_event_parse(&json, &line->memory, HF_EVENT_BYTES_MAX, &line->event, reason);
	if (r == HF_OK && (hf_json_next(&json, &token) < 0 || token.type != HF_JSON_END)) {
		*reason = "invalid: something follows the event";
		return HF_EMALFORMED;
	}
	if (r < 0)
		return r;
	if (hf_kind_is_ephemeral(line->event.kind) || line->event.kind == 22242) {
		*reason = "invalid: events of this kind are never stored";
		return HF_EDENIED;
	}
	if (hf_schnorr_verify(schnorr, line->event.sig, line->event.id, line->event.pubkey) < 0) {
		*reason = "invalid: the signature is wrong";
		return HF_EBADSIG;
	}
	r = hf_admission_prepare(&line->admission, call->store);
	if (r < 0)
		*reason = line->admission.reason ? line->admission.reason : hf_error_text(r);
	return r;
}

static void run_block(struct hf_work *work)
{
	struct block *block = (struct block *)(void *)work;
	struct import *import = block->import;
	struct hf_action_call *call = import->run->call;
	struct hf_schnorr *schnorr = NULL;
	struct hf_commit *first = NULL, *last = NULL;
	int made = hf_schnorr_new(&schnorr, call->env, 0);
	for (size_t i = block->first; i < block->first + block->count; i++) {
		struct line *line = &import->lines[i];
		const char *reason = hf_error_text(made);
		int r = made < 0 ? made : check(line, schnorr, &reason);
		if (r < 0) {
			finish(line, r, reason);
			continue;
		}
		line->admission.commit.next = NULL;
		if (last)
			last->next = &line->admission.commit;
		else
			first = &line->admission.commit;
		last = &line->admission.commit;
	}
	hf_schnorr_free(schnorr);
	if (first)
		hf_store_submit_chain(call->store, first, last);
	free(block);
}

static int read_lines(struct import *import)
{
	struct hf_slice data = import->run->data, text;
	size_t capacity = 0, number = 0;
	for (struct hf_slice rest = data; hf_action_next_line(&rest, &text);)
		capacity++;
	import->lines = calloc(capacity ? capacity : 1, sizeof *import->lines);
	if (!import->lines)
		return HF_ENOMEM;
	uint64_t now_ms = hf_env_wall_ms(import->run->call->env);
	while (hf_action_next_line(&data, &text)) {
		number++;
		if (text.length == 0)
			continue;
		struct line *line = &import->lines[import->line_count++];
		line->import = import;
		line->text = text;
		line->number = number;
		line->admission.collection = import->run->collection;
		line->admission.event = &line->event;
		line->admission.meta = (struct hf_event_meta){.received_ms = now_ms, .source = HF_SOURCE_IMPORT};
		line->admission.commit.durability = HF_DURABLE_DISK;
		hf_admission_init(&line->admission, committed);
	}
	return HF_OK;
}

static void submit_blocks(struct import *import)
{
	struct hf_executor *executor = import->run->call->executor;
	import->waiting = import->line_count;
	for (size_t at = 0; at < import->line_count; at += BLOCK_LINE_COUNT) {
		size_t left = import->line_count - at, count = left < BLOCK_LINE_COUNT ? left : BLOCK_LINE_COUNT;
		struct block *block = malloc(sizeof *block);
		if (block) {
			*block = (struct block){{.run = run_block}, import, at, count};
			/* Where the queue is full the work is done here. */
			if (executor->submit(executor, &block->work) < 0)
				run_block(&block->work);
			continue;
		}
		for (size_t i = at; i < at + count; i++)
			finish(&import->lines[i], HF_ENOMEM, hf_error_text(HF_ENOMEM));
	}
	pthread_mutex_lock(&import->lock);
	while (import->waiting > 0)
		pthread_cond_wait(&import->done, &import->lock);
	pthread_mutex_unlock(&import->lock);
}

/* Kept already, itself or in a newer version. */
static bool is_known(const struct line *line)
{
	return line->status == HF_EDUPLICATE || (line->status == HF_EDENIED && line->reason && strncmp(line->reason, "duplicate:", 10) == 0);
}

static int report(const struct import *import)
{
	json_int_t stored = 0, duplicates = 0, refused = 0;
	json_t *list = json_array();
	int worst = HF_OK;
	for (size_t i = 0; i < import->line_count; i++) {
		const struct line *line = &import->lines[i];
		stored += line->status == HF_OK;
		duplicates += is_known(line);
		if (line->status == HF_OK || is_known(line))
			continue;
		if (line->status == HF_ENOSPC || line->status == HF_EIO || line->status == HF_ECLOSED || line->status == HF_ENOMEM)
			worst = line->status;
		if (refused++ < HF_ACTION_FAULT_COUNT_MAX)
			json_array_append_new(list, json_pack("{s:I, s:s}", "line", (json_int_t)line->number, "reason",
				line->reason ? line->reason : hf_error_text(line->status)));
	}
	struct hf_action_call *call = import->run->call;
	int r = hf_action_append(&call->out, json_pack("{s:I, s:I, s:I, s:o}", "stored", stored, "duplicates", duplicates, "refused", refused,
		"refusals", list));
	return worst < 0 ? hf_fail(&call->failure, worst, "Events could not be stored: %s.", hf_error_text(worst)) : r;
}

int hf_action_import(struct hf_action_run *run)
{
	struct import import = {.run = run};
	if (run->data.length > HF_ACTION_INPUT_BYTES_MAX)
		return hf_fail(&run->call->failure, HF_ETOOBIG, "One import takes %u MiB at most.", HF_ACTION_INPUT_BYTES_MAX >> 20);
	pthread_mutex_init(&import.lock, NULL);
	pthread_cond_init(&import.done, NULL);
	int r = read_lines(&import);
	if (r == HF_OK) {
		submit_blocks(&import);
		r = report(&import);
	}
	free(import.lines);
	pthread_cond_destroy(&import.done);
	pthread_mutex_destroy(&import.lock);
	return r;
}
