/* Who is in the table: nodes that were heard with an id. The oldest are pinged now and then, and whoever does not answer goes. */
#include "peer/dht_node_private.h"

/* Nodes of a test network that got mixed into the public one. */
bool hf_dht_node_is_bad(const struct hf_address *address)
{
	static const struct {
		uint8_t ip[4];
		uint16_t port; /* 0: any */
	} bad[] = {{{134, 209, 28, 98}, 49738}, {{167, 99, 142, 185}, 49738}, {{35, 233, 47, 252}, 9400}, {{150, 136, 142, 116}, 0}};

	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		if (memcmp(hf_dht_ipv4(address), bad[i].ip, 4) == 0 && (bad[i].port == 0 || bad[i].port == address->port))
			return true;
	return false;
}

/* ---- Our address ---- */

void hf_dht_node_sample(struct hf_dht_node *node, const struct hf_address *to)
{
	struct hf_address before = node->nat.address;
	bool had_host = node->nat.has_host;

	hf_nat_sampler_add(&node->nat, to);
	if (had_host != node->nat.has_host || !hf_address_equal(&before, &node->nat.address))
		hf_dht_node_tell(node, HF_DHT_EVENT_CHANGED);
}

/* Nodes without an id, as bootstrap nodes may be, count once each, and few of them. */
static void sample_of_unknown(struct hf_dht_node *node, const struct hf_address *from, const struct hf_address *to)
{
	size_t count_max = node->bootstrap_count > 0 ? node->bootstrap_count : 1;

	if (node->sampled_count >= count_max)
		return;
	for (size_t i = 0; i < node->sampled_count; i++)
		if (hf_address_equal(&node->sampled[i], from))
			return;
	node->sampled[node->sampled_count++] = *from;
	hf_dht_node_sample(node, to);
}

/* ---- Checks ---- */

static bool is_of(const struct hf_dht_reply *reply, const struct hf_dht_contact *contact)
{
	return reply && reply->id && memcmp(reply->id, contact->id, HF_DHT_ID_BYTES) == 0;
}

static void remove_node(struct hf_dht_node *node, const struct hf_dht_contact *contact)
{
	struct hf_dht_entry *entry = hf_dht_table_get(&node->table, contact->id);

	if (entry)
		hf_dht_table_remove(&node->table, entry);
}

static void check_done(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct hf_dht_chore *chore = HF_CONTAINER_OF(request, struct hf_dht_chore, request);

	chore->node->checks--;
	if (code != HF_ECANCELED && !is_of(reply, &chore->subject))
		remove_node(chore->node, &chore->subject);
	hf_dht_chore_free(chore);
}

void hf_dht_node_check(struct hf_dht_node *node, struct hf_dht_entry *entry)
{
	struct hf_dht_chore *chore = hf_dht_chore_new(node, &entry->contact.address, HF_DHT_PING);

	if (!chore)
		return;
	entry->pinged_tick = node->tick;
	chore->subject = entry->contact;
	chore->request.done = check_done;
	node->checks += hf_dht_chore_start(chore);
}

void hf_dht_node_ping_some(struct hf_dht_node *node)
{
	struct hf_dht_entry *entry = node->table.oldest;
	unsigned count = node->inflight_count > 2 ? 3 : 5;

	if (!entry) {
		hf_dht_node_refresh(node);
		return;
	}
	if (node->tick - entry->pinged_tick < HF_DHT_RECENT_TICKS)
		count = 2;
	for (; entry && count > 0; count--, entry = entry->newer)
		if (entry->pinged_tick != node->tick)
			hf_dht_node_check(node, entry);
}

/* ---- Doubts ---- */

/* Whom one was told to begin with is never doubted. */
static bool is_bootstrap(const struct hf_dht_node *node, const struct hf_address *address)
{
	for (size_t i = 0; i < node->bootstrap_count; i++)
		if (hf_address_equal(&node->bootstrap[i], address))
			return true;
	return false;
}

bool hf_dht_node_is_doubted(const struct hf_dht_node *node, const struct hf_address *address)
{
	return hf_dht_doubt_has(&node->doubt, address, node->tick) && !is_bootstrap(node, address);
}

void hf_dht_node_judge(struct hf_dht_node *node, const struct hf_address *address, unsigned alive, unsigned dead)
{
	struct hf_dht_contact contact = {.address = *address};

	if (alive + dead == 0)
		return;
	hf_dht_doubt_add(&node->doubt, address, alive, dead, node->tick);
	if (!hf_dht_node_is_doubted(node, address))
		return;
	hf_dht_id(contact.id, address);
	remove_node(node, &contact);
	if (node->table.count < HF_DHT_K && node->refresh_ticks > 1)
		node->refresh_ticks = 1; /* others are needed */
}

/* ---- New nodes ---- */

static void swap_done(struct hf_dht_request *request, int code, const struct hf_dht_reply *reply)
{
	struct hf_dht_chore *chore = HF_CONTAINER_OF(request, struct hf_dht_chore, request);
	struct hf_dht_node *node = chore->node;

	node->repings--;
	if (code != HF_ECANCELED && !is_of(reply, &chore->subject)) {
		remove_node(node, &chore->subject);
		hf_dht_table_add(&node->table, &chore->other, node->tick, NULL);
	}
	hf_dht_chore_free(chore);
}

/* The row is full: the node in it that nobody dealt with for longest has to show that it lives, or make room. */
static void try_swap(struct hf_dht_node *node, const struct hf_dht_contact *newcomer)
{
	const struct hf_dht_row *row = hf_dht_table_row(&node->table, newcomer->id);
	struct hf_dht_entry *oldest = NULL;

	if (!node->is_bootstrapped || node->repings >= HF_DHT_REPINGS_MAX)
		return;
	for (unsigned i = 0; i < row->count; i++) {
		struct hf_dht_entry *entry = row->entries[i];
		if (entry->pinged_tick == node->tick)
			continue;
		if (!oldest || oldest->pinged_tick > entry->pinged_tick ||
			(oldest->pinged_tick == entry->pinged_tick && oldest->added_tick > entry->added_tick))
			oldest = entry;
	}
	if (!oldest || (node->tick - oldest->pinged_tick < HF_DHT_RECENT_TICKS && node->tick - oldest->added_tick > HF_DHT_OLD_TICKS))
		return;
	struct hf_dht_chore *chore = hf_dht_chore_new(node, &oldest->contact.address, HF_DHT_PING);
	if (!chore)
		return;
	oldest->pinged_tick = node->tick;
	chore->subject = oldest->contact;
	chore->other = *newcomer;
	chore->request.done = swap_done;
	node->repings += hf_dht_chore_start(chore);
}

void hf_dht_node_heard(
	struct hf_dht_node *node, bool is_sample, const struct hf_address *from, const uint8_t *id, const struct hf_address *to)
{
	struct hf_dht_contact contact = {.address = *from};
	struct hf_dht_entry *entry;

	if (hf_dht_node_is_bad(from))
		return;
	if (!id) {
		sample_of_unknown(node, from, to);
		return;
	}
	if (hf_dht_node_is_doubted(node, from))
		return;
	entry = hf_dht_table_get(&node->table, id);
	if (entry) {
		entry->pinged_tick = entry->seen_tick = node->tick;
		hf_dht_table_heard(&node->table, entry);
		if (!is_sample || (entry->sampled_tick != 0 && node->tick - entry->sampled_tick < HF_DHT_OLD_TICKS))
			return;
		entry->sampled_tick = node->tick;
		hf_dht_node_sample(node, to);
		return;
	}
	memcpy(contact.id, id, sizeof contact.id);
	int r = hf_dht_table_add(&node->table, &contact, node->tick, &entry);
	if (r == HF_OK) {
		entry->sampled_tick = node->tick;
		hf_dht_node_sample(node, to);
	} else if (r == HF_EBUSY) {
		try_swap(node, &contact);
	}
}

void hf_dht_node_add(struct hf_dht_node *node, const struct hf_address *address)
{
	struct hf_dht_contact contact = {.address = *address};

	if (!hf_address_is_ipv4(address) || address->port == 0 || hf_dht_node_is_bad(address))
		return;
	hf_dht_id(contact.id, address);
	hf_dht_table_add(&node->table, &contact, node->tick, NULL);
}
