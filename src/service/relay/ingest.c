/* ingest: the loop gathers the events of one iteration, a worker checks signatures and prepares commits, the store's
 * writer decides and keeps, and the loop answers in the order of positions.
 *
 * The table of events in flight maps an id to its ENTRY. A copy that arrives meanwhile waits with the entry
 * for its verdict. Known means committed: when the entry's signature is wrong, copies with the same signature are
 * as wrong, and the first with another one becomes the entry and is checked itself. So a forged copy costs its
 * sender, and the good copy comes through.
 *
 * What is under way is bounded by connection (then it is not read from) and by relay (then who publishes is not
 * read from until half of it is done). */
#include "service/relay/internal.h"

#include <stdlib.h>

#include "base/list.h"

#define REASON_KNOWN "duplicate: already have this event"

struct batch {
	struct hf_work work;
	struct hf_relay *relay;
	struct hf_relay_entry *first;
	struct hf_loop_mail returned;
};

static void deliver(struct hf_loop_mail *mail);

/* ---- Counting ---- */

void hf_relay_refused(struct hf_relay *relay, const char *reason)
{
	static const struct { const char *prefix; enum hf_relay_refusal refusal; } prefixes[] = {
		{"invalid:", HF_REFUSED_INVALID}, {"blocked:", HF_REFUSED_BLOCKED}, {"duplicate:", HF_REFUSED_DUPLICATE},
		{"restricted:", HF_REFUSED_RESTRICTED}, {"auth-required:", HF_REFUSED_AUTH}, {"rate-limited:", HF_REFUSED_RATE},
		{"unsupported:", HF_REFUSED_UNSUPPORTED}};
	enum hf_relay_refusal refusal = HF_REFUSED_ERROR;
	for (size_t i = 0; reason && i < sizeof prefixes / sizeof *prefixes; i++)
		if (strncmp(reason, prefixes[i].prefix, strlen(prefixes[i].prefix)) == 0)
			refusal = prefixes[i].refusal;
	hf_counter_add(&relay->metrics.refused[refusal], 1);
}

static void begin(struct hf_relay_connection *c, size_t bytes)
{
	struct hf_relay *relay = c->relay;
	hf_relay_connection_ref(c);
	c->in_flight_count++;
	c->in_flight_bytes += bytes;
	relay->in_flight_count++;
	relay->in_flight_bytes += bytes;
	if (c->link && !c->paused && (c->in_flight_count >= relay->policy.in_flight_max || c->in_flight_bytes >= HF_RELAY_IN_FLIGHT_BYTES_MAX)) {
		c->paused = true;
		c->transport->pause(c->link);
	}
	if (c->link && !c->stalled &&
		(relay->in_flight_count >= relay->policy.ingest_queue_max || relay->in_flight_bytes >= HF_RELAY_INGEST_BYTES_MAX)) {
		c->stalled = true;
		c->next_stalled = relay->stalled;
		relay->stalled = c;
		hf_gauge_add(&relay->metrics.stalled, 1);
		if (!c->paused)
			c->transport->pause(c->link);
	}
}

static void end(struct hf_relay_connection *c, size_t bytes)
{
	struct hf_relay *relay = c->relay;
	c->in_flight_count--;
	c->in_flight_bytes -= bytes;
	relay->in_flight_count--;
	relay->in_flight_bytes -= bytes;
	if (c->paused && c->in_flight_count <= relay->policy.in_flight_max / 2 && c->in_flight_bytes <= HF_RELAY_IN_FLIGHT_BYTES_MAX / 2) {
		c->paused = false;
		if (c->link && !c->stalled)
			c->transport->resume(c->link);
	}
	while (relay->stalled && relay->in_flight_count <= relay->policy.ingest_queue_max / 2 &&
		relay->in_flight_bytes <= HF_RELAY_INGEST_BYTES_MAX / 2) {
		struct hf_relay_connection *s = relay->stalled;
		relay->stalled = s->next_stalled;
		s->stalled = false;
		hf_gauge_add(&relay->metrics.stalled, -1);
		if (s->link && !s->paused)
			s->transport->resume(s->link);
	}
	hf_relay_connection_unref(c);
}

/* ---- The table ---- */

static struct hf_slice id_of(const struct hf_relay_entry *e)
{
	return hf_slice(e->event.id, 32);
}

static void gather(struct hf_relay *relay, struct hf_relay_entry *e)
{
	e->next = NULL;
	if (relay->gathered_last)
		relay->gathered_last->next = e;
	else
		relay->gathered_first = e;
	relay->gathered_last = e;
	relay->gathered_count++;
	hf_loop_defer(relay->loop, &relay->gather);
}

static void wait_for(struct hf_relay_entry *first, struct hf_relay_entry *copy)
{
	copy->next = NULL;
	if (first->last_waiter)
		first->last_waiter->next = copy;
	else
		first->waiters = copy;
	first->last_waiter = copy;
}

static void free_entry(struct hf_relay_entry *e)
{
	hf_admission_clear(&e->admission);
	end(e->connection, e->bytes);
	free(e);
}

/* ---- Verdicts ---- */

static const char *reason_of(const struct hf_relay_entry *e, int status)
{
	switch (status) {
	case HF_OK: return "";
	case HF_EDUPLICATE: return REASON_KNOWN;
	case HF_EBADSIG: return "invalid: the signature is wrong";
	case HF_EDENIED: return e->admission.reason ? e->admission.reason : "blocked: the relay refuses this event";
	case HF_ETOOBIG: return e->admission.reason ? e->admission.reason : "invalid: the event is too large or has too many tags";
	case HF_ENOSPC: return "error: the disk or the quota is full; reading goes on";
	case HF_ECLOSED: return "error: the relay is shutting down";
	case HF_EBUSY: return "rate-limited: the relay is busy";
	default: return "error: the event could not be stored";
	}
}

static void answer(struct hf_relay_entry *e, int status, const char *reason)
{
	struct hf_relay *relay = e->relay;
	bool accepted = status == HF_OK || status == HF_EDUPLICATE;
	if (!accepted)
		hf_relay_refused(relay, reason);
	else if (status == HF_EDUPLICATE)
		hf_counter_add(&relay->metrics.duplicates, 1);
	hf_relay_reply_ok(e->connection, e->event.id, accepted, reason);
}

static void answer_auth(struct hf_relay_entry *e)
{
	if (e->status == HF_OK)
		hf_relay_connection_add_key(e->connection, e->event.pubkey);
	answer(e, e->status, reason_of(e, e->status));
	free_entry(e);
}

/* The waiters of a forged entry: those with its signature fall with it, the first other one takes its place. */
static void promote(struct hf_relay_entry *bad)
{
	struct hf_relay *relay = bad->relay;
	struct hf_relay_entry *next = NULL;
	for (struct hf_relay_entry *w = bad->waiters, *after; w; w = after) {
		after = w->next;
		if (memcmp(w->event.sig, bad->event.sig, 64) == 0) {
			answer(w, HF_EBADSIG, reason_of(w, HF_EBADSIG));
			free_entry(w);
		} else if (next) {
			wait_for(next, w);
		} else {
			next = w;
			if (hf_map_put(&relay->in_flight, id_of(w), w, NULL) == HF_OK) {
				gather(relay, w);
			} else {
				next = NULL;
				answer(w, HF_ENOMEM, reason_of(w, HF_ENOMEM));
				free_entry(w);
			}
		}
	}
}

static void conclude(struct hf_relay_entry *e)
{
	struct hf_relay *relay = e->relay;
	int status = e->status;
	const char *reason = reason_of(e, status);
	hf_map_remove(&relay->in_flight, id_of(e));
	answer(e, status, reason);
	if (status == HF_EBADSIG) {
		promote(e);
	} else {
		if (status == HF_OK && relay->bee && !hf_kind_is_ephemeral(e->event.kind))
			hf_relay_bee_note(relay->bee);
		if (status == HF_OK)
			hf_counter_add(hf_kind_is_ephemeral(e->event.kind) ? &relay->metrics.ephemeral : &relay->metrics.stored, 1);
		for (struct hf_relay_entry *w = e->waiters, *after; w; w = after) {
			after = w->next;
			answer(w, status == HF_OK ? HF_EDUPLICATE : status, status == HF_OK ? REASON_KNOWN : reason);
			free_entry(w);
		}
		if (status == HF_OK)
			hf_relay_fan_out(relay, &e->event, hf_kind_is_ephemeral(e->event.kind) ? UINT64_MAX : e->admission.position);
	}
	hf_histogram_record_us(&relay->metrics.stages[HF_STAGE_TOTAL], hf_loop_now_us(relay->loop) - e->received_us);
	free_entry(e);
}

static void deliver(struct hf_loop_mail *mail)
{
	struct hf_relay_entry *e = HF_CONTAINER_OF(mail, struct hf_relay_entry, mail);
	if (e->is_auth)
		answer_auth(e);
	else
		conclude(e);
}

/* ---- On the writer's thread ---- */

static void committed(struct hf_commit *commit, int status)
{
	struct hf_relay_entry *e = (struct hf_relay_entry *)(void *)commit;
	struct hf_relay *relay = e->relay;
	e->status = status;
	hf_histogram_record_us(&relay->metrics.stages[HF_STAGE_COMMIT], hf_env_monotonic_us(relay->env) - e->submitted_us);
	hf_loop_post(relay->loop, &e->mail);
}

/* ---- On a worker ---- */

static struct hf_schnorr *take_verifier(struct hf_relay *relay)
{
	pthread_mutex_lock(&relay->verifier_lock);
	struct hf_schnorr *verifier = relay->verifier_count ? relay->verifiers[--relay->verifier_count] : NULL;
	pthread_mutex_unlock(&relay->verifier_lock);
	return verifier;
}

static void give_verifier(struct hf_relay *relay, struct hf_schnorr *verifier)
{
	pthread_mutex_lock(&relay->verifier_lock);
	relay->verifiers[relay->verifier_count++] = verifier;
	pthread_mutex_unlock(&relay->verifier_lock);
}

static void check(struct hf_relay_entry *e, struct hf_schnorr *verifier)
{
	struct hf_relay *relay = e->relay;
	e->status = hf_schnorr_verify(verifier, e->event.sig, e->event.id, e->event.pubkey);
	if (e->status == HF_OK && !e->is_auth && !hf_kind_is_ephemeral(e->event.kind))
		e->status = hf_admission_prepare(&e->admission, relay->store);
}

static void returned(struct hf_loop_mail *mail)
{
	struct batch *batch = HF_CONTAINER_OF(mail, struct batch, returned);
	batch->relay->work_count--;
	free(batch);
}

static void run_batch(struct hf_work *work)
{
	struct batch *batch = (struct batch *)(void *)work;
	struct hf_relay *relay = batch->relay;
	struct hf_schnorr *verifier = take_verifier(relay);
	struct hf_relay_entry *commit_first = NULL, *commit_last = NULL;
	struct hf_loop_mail *mail_first = &batch->returned, *mail_last = mail_first;
	uint64_t before_us = hf_env_monotonic_us(relay->env);
	for (struct hf_relay_entry *e = batch->first, *next; e; e = next) {
		next = e->next;
		check(e, verifier);
		uint64_t now_us = hf_env_monotonic_us(relay->env);
		hf_histogram_record_us(&relay->metrics.stages[HF_STAGE_VERIFY], now_us - before_us);
		before_us = e->submitted_us = now_us;
		if (e->status < 0 || e->is_auth || hf_kind_is_ephemeral(e->event.kind)) {
			mail_last->mail.next = &e->mail.mail;
			mail_last = &e->mail;
		} else {
			e->admission.commit.next = NULL;
			if (commit_last)
				commit_last->admission.commit.next = &e->admission.commit;
			else
				commit_first = e;
			commit_last = e;
		}
	}
	give_verifier(relay, verifier);
	if (commit_first)
		hf_store_submit_chain(relay->store, &commit_first->admission.commit, &commit_last->admission.commit);
	mail_last->mail.next = NULL;
	hf_loop_post_chain(relay->loop, mail_first, mail_last);
}

/* ---- On the loop ---- */

/* Cuts up to count entries off the gathered ones and sends them to a worker. */
static void send_batch(struct hf_relay *relay, uint32_t count)
{
	struct batch *batch = malloc(sizeof *batch);
	struct hf_relay_entry *first = relay->gathered_first, *last = first;
	for (uint32_t i = 1; i < count; i++)
		last = last->next;
	relay->gathered_first = last->next;
	if (!relay->gathered_first)
		relay->gathered_last = NULL;
	relay->gathered_count -= count;
	last->next = NULL;
	if (batch) {
		*batch = (struct batch){.work = {.run = run_batch}, .relay = relay, .first = first, .returned = {.deliver = returned}};
		relay->work_count++;
		if (relay->verify_executor->submit(relay->verify_executor, &batch->work) == HF_OK)
			return;
		relay->work_count--;
	}
	for (struct hf_relay_entry *e = first, *next; e; e = next) {
		next = e->next;
		e->status = batch ? HF_EBUSY : HF_ENOMEM;
		deliver(&e->mail);
	}
	free(batch);
}

void hf_relay_ingest_flush(struct hf_loop_deferred *deferred)
{
	struct hf_relay *relay = HF_CONTAINER_OF(deferred, struct hf_relay, gather);
	if (relay->lookup)
		hf_snapshot_release(relay->lookup);
	relay->lookup = NULL;
	uint32_t workers = relay->verify_executor->worker_count ? relay->verify_executor->worker_count : 1;
	uint32_t share = (relay->gathered_count + workers - 1) / workers;
	if (share > HF_RELAY_BATCH_EVENTS_MAX)
		share = HF_RELAY_BATCH_EVENTS_MAX;
	while (relay->gathered_count > 0)
		send_batch(relay, relay->gathered_count < share ? relay->gathered_count : share);
}

static bool is_stored(struct hf_relay *relay, const uint8_t id[static 32])
{
	struct hf_doc doc;
	if (!relay->lookup) {
		relay->lookup = hf_store_snapshot(relay->store);
		hf_loop_defer(relay->loop, &relay->gather);
	}
	return relay->lookup && hf_snapshot_get(relay->lookup, relay->collection, id, HF_READ_RESIDENT, &relay->payload, &doc) == HF_OK;
}

static void rebase(struct hf_slice *slice, const struct hf_slice from, const uint8_t *to)
{
	if (slice->length > 0)
		slice->data = to + (slice->data - from.data);
}

static struct hf_relay_entry *new_entry(struct hf_relay_connection *c, const struct hf_event *event, struct hf_slice text)
{
	struct hf_relay *relay = c->relay;
	struct hf_relay_entry *e = malloc(sizeof *e + text.length);
	if (!e)
		return NULL;
	memset(e, 0, offsetof(struct hf_relay_entry, text));
	memcpy(e->text, text.data, text.length);
	e->event = *event;
	rebase(&e->event.tags, text, e->text);
	rebase(&e->event.content, text, e->text);
	e->relay = relay;
	e->connection = c;
	e->mail.deliver = deliver;
	e->admission.collection = relay->collection;
	e->admission.event = &e->event;
	e->admission.meta = (struct hf_event_meta){.received_ms = hf_env_wall_ms(relay->env), .source = c->source};
	e->admission.commit.durability = HF_DURABLE_DISK;
	hf_admission_init(&e->admission, committed);
	return e;
}

static void refuse(struct hf_relay_connection *c, const struct hf_event *event, const char *reason)
{
	hf_relay_refused(c->relay, reason);
	hf_relay_reply_ok(c, event->id, false, reason);
}

void hf_relay_ingest(struct hf_relay_connection *c, const struct hf_event *event, struct hf_slice text, bool is_auth, uint64_t received_us)
{
	struct hf_relay *relay = c->relay;
	const char *reason = is_auth ? NULL : hf_relay_policy_refuses(relay, c, event);
	if (reason) {
		refuse(c, event, reason);
		return;
	}
	struct hf_relay_entry *first = is_auth ? NULL : hf_map_get(&relay->in_flight, hf_slice(event->id, 32));
	if (!first && !is_auth && is_stored(relay, event->id)) {
		hf_counter_add(&relay->metrics.duplicates, 1);
		hf_relay_reply_ok(c, event->id, true, REASON_KNOWN);
		return;
	}
	struct hf_relay_entry *e = new_entry(c, event, text);
	if (!e || (!first && !is_auth && hf_map_put(&relay->in_flight, id_of(e), e, NULL) < 0)) {
		free(e);
		refuse(c, event, "error: out of memory");
		return;
	}
	e->bytes = (uint32_t)(sizeof *e + text.length);
	e->is_auth = is_auth;
	e->received_us = received_us;
	begin(c, e->bytes);
	if (first)
		wait_for(first, e);
	else
		gather(relay, e);
}
