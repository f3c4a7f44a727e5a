/* tally: what happens too often for a record each, but belongs into the audit log: once a minute, and at the end, how often it happened. */
#include <jansson.h>
#include <stdlib.h>

#include "base/list.h"
#include "service/audit.h"
#include "service/gateway/internal.h"

#define TALLY_MS 60000
#define ADDRESSES_MAX 16 /* that are named in a record */

static void write_record(struct hf_gateway *g, const char *kind, json_t *fields)
{
	char *text = fields ? json_dumps(fields, JSON_COMPACT) : NULL;
	if (text)
		hf_audit_write(g->audit, kind, hf_slice_text(text));
	free(text);
	json_decref(fields);
}

static void tally_relay(struct hf_gateway *g, size_t index)
{
	struct hf_relay_stats stats;
	uint64_t *told = g->tally.refused[index];
	json_t *reasons = json_object();
	hf_relay_stats(g->relays[index], &stats);
	for (size_t i = 0; i < HF_RELAY_REFUSAL_COUNT; i++) {
		if (stats.refused[i] > told[i])
			json_object_set_new(reasons, hf_relay_refusal_name(i), json_integer((json_int_t)(stats.refused[i] - told[i])));
		told[i] = stats.refused[i];
	}
	if (json_object_size(reasons) > 0)
		write_record(g, "publish.refused", json_pack("{s:s, s:O}", "relay", hf_relay_instance(g->relays[index]), "reasons", reasons));
	json_decref(reasons);
}

static void tally_replication(struct hf_gateway *g)
{
	struct hf_replicator_stats stats;
	struct hf_tally *t = &g->tally;
	if (!g->cores)
		return;
	hf_replicator_stats(hf_core_host_replicator(g->cores), &stats);
	if (stats.proofs_false > t->proofs_false || stats.peers_failed > t->peers_failed)
		write_record(g, "replication.failed", json_pack("{s:I, s:I}", "false_proofs", (json_int_t)(stats.proofs_false - t->proofs_false),
			"peers_failed", (json_int_t)(stats.peers_failed - t->peers_failed)));
	t->proofs_false = stats.proofs_false;
	t->peers_failed = stats.peers_failed;
}

/* Who was not let in to administration over HTTP, and from where lately. */
static void tally_refused(struct hf_gateway *g)
{
	json_t *reasons = json_object(), *addresses = json_object();
	struct hf_address address;
	uint32_t failures;
	size_t cursor = 0;
	char text[HF_ADDRESS_TEXT_BYTES];
	for (int i = 0; g->guard && i < HF_ADMIN_REFUSAL_COUNT; i++) {
		uint64_t count = hf_admin_guard_refused(g->guard, (enum hf_admin_refusal)i), told = g->tally.admin_refused[i];
		if (count > told)
			json_object_set_new(reasons, hf_admin_refusal_name((enum hf_admin_refusal)i), json_integer((json_int_t)(count - told)));
		g->tally.admin_refused[i] = count;
	}
	while (json_object_size(reasons) > 0 && json_object_size(addresses) < ADDRESSES_MAX &&
		hf_admin_guard_next_failing(g->guard, &cursor, &address, &failures))
		json_object_set_new(addresses, hf_address_text(&address, false, text), json_integer(failures));
	if (json_object_size(reasons) > 0)
		write_record(g, "admin.refused", json_pack("{s:O, s:O}", "reasons", reasons, "addresses", addresses));
	json_decref(reasons);
	json_decref(addresses);
}

void hf_gateway_tally(struct hf_gateway *g)
{
	for (size_t i = 0; i < g->relay_count; i++)
		tally_relay(g, i);
	tally_replication(g);
	tally_refused(g);
}

static void on_minute(struct hf_timer *timer)
{
	struct hf_gateway *g = HF_CONTAINER_OF(timer, struct hf_gateway, tally.timer);
	hf_gateway_tally(g);
	hf_gateway_watch_clock(g);
	hf_loop_timer_set(g->loop, timer, TALLY_MS);
}

int hf_gateway_start_tally(struct hf_gateway *g)
{
	g->tally.timer.fire = on_minute;
	return hf_loop_timer_set(g->loop, &g->tally.timer, TALLY_MS);
}
