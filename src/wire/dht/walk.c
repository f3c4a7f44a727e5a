/* Nodes are numbered as they come to be known. A node that is not answered for keeps references to those that named it, who are told
 * when it turns out to be dead. */
#include "wire/dht/walk.h"

#include <stdlib.h>

#include "base/array.h"

#define REFERENCE_COUNT_MAX (8 * HF_DHT_WALK_COUNT_MAX)
#define GIVEN_ENOUGH (HF_DHT_K / 4) /* answers of given nodes without which the table is asked, too */

enum status { PENDING, ASKED, DONE, DOWN };

struct hf_dht_walk_reference {
	uint32_t told; /* number of the node that named it */
	uint32_t next; /* number of a reference and one; 0: none */
};
struct hf_dht_walk_node {
	struct hf_dht_contact contact;
	uint32_t first_reference; /* and one; 0: none */
	uint16_t hop;
	uint16_t alive, dead; /* of the nodes that it named */
	uint8_t status;       /* enum status */
	bool is_slow;
};

void hf_dht_walk_init(struct hf_dht_walk *walk, const uint8_t target[static HF_DHT_ID_BYTES], const uint8_t own_id[static HF_DHT_ID_BYTES])
{
	*walk = (struct hf_dht_walk){.concurrency = HF_DHT_WALK_CONCURRENCY};
	memcpy(walk->target, target, HF_DHT_ID_BYTES);
	memcpy(walk->own_id, own_id, HF_DHT_ID_BYTES);
}

void hf_dht_walk_free(struct hf_dht_walk *walk)
{
	free(walk->nodes);
	free(walk->references);
	free(walk->pending);
	hf_u64_map_free(&walk->by_address);
	walk->nodes = NULL;
	walk->references = NULL;
	walk->pending = NULL;
}

/* ---- Candidates ---- */

static bool is_nearer(const struct hf_dht_walk *walk, const uint8_t *id)
{
	return walk->closest_count < HF_DHT_K || hf_dht_compare(walk->target, id, walk->closest[HF_DHT_K - 1].node.id) < 0;
}

static uint64_t key_of(const struct hf_address *address)
{
	return (uint64_t)hf_load_be32(hf_dht_ipv4(address)) << 16 | address->port;
}

static void refer(struct hf_dht_walk *walk, struct hf_dht_walk_node *node, uint32_t told)
{
	if (walk->reference_count == REFERENCE_COUNT_MAX || hf_array_reserve(&walk->references, &walk->reference_capacity,
		walk->reference_count + 1, sizeof *walk->references) < 0)
		return;
	walk->references[walk->reference_count++] = (struct hf_dht_walk_reference){told, node->first_reference};
	node->first_reference = (uint32_t)walk->reference_count;
}

static void tell_down(struct hf_dht_walk *walk, uint32_t told, const struct hf_address *dead)
{
	walk->nodes[told].dead++;
	if (walk->down)
		walk->down(walk->context, &walk->nodes[told].contact, dead);
}

static int make_node(struct hf_dht_walk *walk, const struct hf_dht_contact *contact, uint16_t hop)
{
	if (hf_array_reserve(&walk->nodes, &walk->node_capacity, walk->node_count + 1, sizeof *walk->nodes) < 0 ||
		hf_array_reserve(&walk->pending, &walk->pending_capacity, walk->pending_count + 1, sizeof *walk->pending) < 0)
		return HF_ENOMEM;
	uint64_t *number = hf_u64_map_put(&walk->by_address, key_of(&contact->address));
	if (!number)
		return HF_ENOMEM;
	*number = walk->node_count;
	walk->pending[walk->pending_count++] = (uint32_t)walk->node_count;
	walk->nodes[walk->node_count++] = (struct hf_dht_walk_node){.contact = *contact, .hop = hop};
	return HF_OK;
}

/* A node that another one has named, or the caller (NULL). 1: it is nearer than what there is; 0: not. */
static int add(struct hf_dht_walk *walk, const struct hf_dht_contact *contact, const uint32_t *told)
{
	uint64_t *known = hf_u64_map_get(&walk->by_address, key_of(&contact->address));
	bool nearer = is_nearer(walk, contact->id);

	if (walk->only_given)
		return 0;
	if (known) {
		struct hf_dht_walk_node *node = &walk->nodes[*known];
		if (told && node->status == DOWN)
			tell_down(walk, *told, &contact->address);
		else if (told && node->status == DONE)
			walk->nodes[*told].alive++;
		else if (told)
			refer(walk, node, *told);
		return nearer;
	}
	if (!nearer || walk->node_count == HF_DHT_WALK_COUNT_MAX)
		return 0;
	int r = make_node(walk, contact, told ? (uint16_t)(walk->nodes[*told].hop + 1) : 1);
	if (r < 0)
		return r;
	if (told)
		refer(walk, &walk->nodes[walk->node_count - 1], *told);
	return 1;
}

int hf_dht_walk_add(struct hf_dht_walk *walk, const struct hf_dht_contact *contact)
{
	int r = memcmp(contact->id, walk->own_id, HF_DHT_ID_BYTES) == 0 ? 0 : add(walk, contact, NULL);

	return r < 0 ? r : HF_OK;
}

size_t hf_dht_walk_room(const struct hf_dht_walk *walk)
{
	return walk->pending_count < HF_DHT_K ? HF_DHT_K - walk->pending_count : 0;
}

/* ---- Going on ---- */

bool hf_dht_walk_next(struct hf_dht_walk *walk, uint32_t *number, struct hf_dht_contact *contact)
{
	uint32_t concurrency = (walk->is_slowed ? HF_DHT_WALK_SLOW_CONCURRENCY : walk->concurrency) + walk->slow;

	while (walk->inflight < concurrency && walk->pending_count > 0) {
		uint32_t at = walk->pending[--walk->pending_count];
		struct hf_dht_walk_node *node = &walk->nodes[at];
		if (!is_nearer(walk, node->contact.id))
			continue;
		node->status = ASKED;
		walk->inflight++;
		walk->asked++;
		*number = at;
		*contact = node->contact;
		return true;
	}
	/* The nearest of an earlier query get a chance to answer before others are bothered. */
	if (!walk->is_started)
		walk->is_slowed = !walk->is_from_table && walk->answered + walk->failed == 0;
	walk->is_started = true;
	return false;
}

enum hf_dht_walk_state hf_dht_walk_state(const struct hf_dht_walk *walk)
{
	bool is_over = walk->inflight == 0 || (walk->slow == walk->inflight && walk->closest_count == HF_DHT_K);

	if (walk->pending_count > 0 || !is_over)
		return HF_DHT_WALK_GOES_ON;
	return !walk->is_from_table && walk->answered < GIVEN_ENOUGH ? HF_DHT_WALK_WANTS_MORE : HF_DHT_WALK_FINISHED;
}

/* ---- Answers ---- */

static struct hf_dht_walk_node *take_back(struct hf_dht_walk *walk, uint32_t number, enum status status)
{
	struct hf_dht_walk_node *node = &walk->nodes[number];

	walk->inflight--;
	walk->slow -= node->is_slow;
	node->is_slow = false;
	node->status = (uint8_t)status;
	return node;
}

static void keep_closest(struct hf_dht_walk *walk, const struct hf_address *from, const uint8_t *id, const struct hf_dht_message *message)
{
	size_t at = walk->closest_count;

	while (at > 0 && hf_dht_compare(walk->target, id, walk->closest[at - 1].node.id) < 0)
		at--;
	if (at == HF_DHT_K || (at > 0 && memcmp(id, walk->closest[at - 1].node.id, HF_DHT_ID_BYTES) == 0))
		return;
	walk->closest_count += walk->closest_count < HF_DHT_K;
	memmove(walk->closest + at + 1, walk->closest + at, (walk->closest_count - at - 1) * sizeof *walk->closest);
	struct hf_dht_closest *closest = &walk->closest[at];
	*closest = (struct hf_dht_closest){.node.address = *from, .to = message->to, .has_token = message->token != NULL};
	memcpy(closest->node.id, id, HF_DHT_ID_BYTES);
	if (message->token)
		memcpy(closest->token, message->token, HF_DHT_TOKEN_BYTES);
}

/* A node that is named twice counts once. */
static bool is_named_before(struct hf_slice closer, size_t at)
{
	for (size_t i = 0; i < at; i++)
		if (memcmp(closer.data + i * HF_DHT_ADDRESS_BYTES, closer.data + at * HF_DHT_ADDRESS_BYTES, HF_DHT_ADDRESS_BYTES) == 0)
			return true;
	return false;
}

int hf_dht_walk_answered(struct hf_dht_walk *walk, uint32_t number, const struct hf_address *from, const uint8_t *id,
	const struct hf_dht_message *message)
{
	struct hf_dht_walk_node *node = take_back(walk, number, DONE);
	struct hf_dht_contact contact;
	int r = 1;

	*(message->error == HF_DHT_OK ? &walk->answered : &walk->failed) += 1;
	for (uint32_t at = node->first_reference; at; at = walk->references[at - 1].next)
		walk->nodes[walk->references[at - 1].told].alive++;
	if (node->hop > walk->hops)
		walk->hops = node->hop;
	if (message->error == HF_DHT_OK && id)
		keep_closest(walk, from, id, message);
	for (size_t i = 0; i < hf_dht_closer_count(message->closer) && r == 1; i++) {
		contact.address = hf_dht_closer_at(message->closer, i);
		if (contact.address.port == 0 || is_named_before(message->closer, i))
			continue;
		hf_dht_id(contact.id, &contact.address);
		if (memcmp(contact.id, walk->own_id, HF_DHT_ID_BYTES) != 0)
			r = add(walk, &contact, &number);
	}
	if (!walk->is_from_table && walk->answered + walk->failed >= walk->concurrency)
		walk->is_slowed = false;
	return r < 0 ? r : HF_OK;
}

void hf_dht_walk_slow(struct hf_dht_walk *walk, uint32_t number)
{
	if (walk->nodes[number].is_slow)
		return;
	walk->nodes[number].is_slow = true;
	walk->slow++;
}

void hf_dht_walk_failed(struct hf_dht_walk *walk, uint32_t number, bool timed_out)
{
	struct hf_dht_walk_node *node = take_back(walk, number, timed_out ? DOWN : DONE);

	walk->failed++;
	for (uint32_t at = timed_out ? node->first_reference : 0; at; at = walk->references[at - 1].next)
		tell_down(walk, walk->references[at - 1].told, &node->contact.address);
}

const struct hf_address *hf_dht_walk_named(const struct hf_dht_walk *walk, size_t number, unsigned *alive, unsigned *dead)
{
	const struct hf_dht_walk_node *node = &walk->nodes[number];

	*alive = node->alive;
	*dead = node->dead;
	return &node->contact.address;
}
