/* A walk and a routing table, driven by bytes: nodes answer, are slow, fail, and name others. A walk ends and its nearest are sorted; a
 * table stays in order.
 *
 * Covers: src/wire/dht/walk.c src/wire/dht/routing.c src/wire/dht/doubt.c
 */
#include "fuzz.h"

#include "wire/dht/doubt.h"
#include "wire/dht/routing.h"
#include "wire/dht/walk.h"

#define INFLIGHT_MAX 8192

struct input {
	const uint8_t *at, *end;
};

static uint8_t take(struct input *in)
{
	return in->at < in->end ? *in->at++ : 0;
}

static struct hf_dht_contact contact_of(struct input *in)
{
	uint8_t ip[4] = {10, 0, take(in) & 3, take(in)};
	struct hf_dht_contact contact = {.address = hf_dht_address(ip, 1000)};

	hf_dht_id(contact.id, &contact.address);
	return contact;
}

static void drive_table(struct input *in)
{
	struct hf_dht_table table;
	const struct hf_dht_entry *closest[HF_DHT_K];
	uint8_t id[HF_DHT_ID_BYTES] = {take(in)};
	size_t count = 0;

	hf_dht_table_init(&table, id);
	while (in->at < in->end) {
		uint8_t operation = take(in);
		struct hf_dht_contact contact = contact_of(in);
		struct hf_dht_entry *entry = hf_dht_table_get(&table, contact.id);
		if (operation < 160)
			FUZZ_CHECK((hf_dht_table_add(&table, &contact, operation, NULL) == HF_EEXISTS) ==
				(entry != NULL || memcmp(contact.id, table.id, sizeof table.id) == 0));
		else if (operation < 200 && entry)
			hf_dht_table_remove(&table, entry);
		else if (operation < 240 && entry)
			hf_dht_table_heard(&table, entry);
		else if (operation == 255)
			FUZZ_CHECK(hf_dht_table_rekey(&table, contact.id) == HF_OK);
		size_t near_count = hf_dht_table_closest(&table, contact.id, closest, HF_DHT_K);
		FUZZ_CHECK(near_count == (table.count < HF_DHT_K ? table.count : HF_DHT_K));
		FUZZ_CHECK((hf_dht_table_pick(&table, operation) == NULL) == (table.count == 0));
	}
	for (struct hf_dht_entry *entry = table.oldest; entry; entry = entry->newer, count++)
		FUZZ_CHECK(hf_dht_table_get(&table, entry->contact.id) == entry);
	FUZZ_CHECK(count == table.count);
	hf_dht_table_free(&table);
}

static uint32_t downs;

static void on_down(void *context, const struct hf_dht_contact *told, const struct hf_address *dead)
{
	(void)context;
	FUZZ_CHECK(!hf_address_equal(&told->address, dead) || told->address.port != 0);
	downs++;
}

static void answer(struct hf_dht_walk *walk, struct input *in, uint32_t number, const struct hf_dht_contact *from)
{
	uint8_t closer[HF_DHT_K * HF_DHT_ADDRESS_BYTES], flags = take(in);
	struct hf_dht_message message = {.is_reply = true, .to = from->address, .error = flags & 1, .token = flags & 2 ? from->id : NULL};
	unsigned count = flags >> 3 < HF_DHT_K ? flags >> 3 : HF_DHT_K;

	for (unsigned i = 0; i < count; i++) {
		struct hf_dht_contact other = contact_of(in);
		memcpy(closer + i * HF_DHT_ADDRESS_BYTES, hf_dht_ipv4(&other.address), 4);
		hf_store_le16(closer + i * HF_DHT_ADDRESS_BYTES + 4, flags & 4 ? 0 : other.address.port);
	}
	message.closer = hf_slice(closer, count * HF_DHT_ADDRESS_BYTES);
	FUZZ_CHECK(hf_dht_walk_answered(walk, number, &from->address, flags & 4 ? NULL : from->id, &message) == HF_OK);
}

static void doubt_of(const struct hf_dht_walk *walk)
{
	struct hf_dht_doubt doubt = {0};
	unsigned alive, dead;

	for (uint32_t i = 0; i < walk->node_count; i++) {
		const struct hf_address *address = hf_dht_walk_named(walk, i, &alive, &dead);
		hf_dht_doubt_add(&doubt, address, alive, dead, i);
		FUZZ_CHECK(!hf_dht_doubt_has(&doubt, address, i) || dead > 2 * alive);
	}
}

static void drive_walk(struct input *in)
{
	static uint32_t numbers[INFLIGHT_MAX];
	static struct hf_dht_contact contacts[INFLIGHT_MAX];
	struct hf_dht_walk walk;
	uint8_t target[HF_DHT_ID_BYTES] = {take(in)}, own[HF_DHT_ID_BYTES] = {1}, options = take(in);
	size_t inflight = 0;

	hf_dht_walk_init(&walk, target, own);
	walk.down = options & 1 ? on_down : NULL;
	for (unsigned i = options >> 3; i > 0; i--) {
		struct hf_dht_contact contact = contact_of(in);
		FUZZ_CHECK(hf_dht_walk_add(&walk, &contact) == HF_OK);
	}
	walk.only_given = options & 2;
	walk.is_from_table = options & 4;
	for (;;) {
		while (inflight < INFLIGHT_MAX && hf_dht_walk_next(&walk, &numbers[inflight], &contacts[inflight]))
			inflight++;
		enum hf_dht_walk_state state = hf_dht_walk_state(&walk);
		if (state == HF_DHT_WALK_FINISHED)
			break;
		if (state == HF_DHT_WALK_WANTS_MORE) {
			walk.is_from_table = true;
			continue;
		}
		FUZZ_CHECK(inflight > 0);
		uint8_t what = take(in);
		size_t at = what % inflight;
		if (what > 200 && in->at < in->end) {
			hf_dht_walk_slow(&walk, numbers[at]);
			continue;
		}
		uint32_t number = numbers[at];
		struct hf_dht_contact contact = contacts[at];
		numbers[at] = numbers[--inflight];
		contacts[at] = contacts[inflight];
		if (what > 150)
			hf_dht_walk_failed(&walk, number, what & 1);
		else
			answer(&walk, in, number, &contact);
	}
	for (size_t i = 1; i < walk.closest_count; i++)
		FUZZ_CHECK(hf_dht_compare(target, walk.closest[i - 1].node.id, walk.closest[i].node.id) < 0);
	FUZZ_CHECK(walk.asked == walk.answered + walk.failed + inflight);
	doubt_of(&walk);
	hf_dht_walk_free(&walk);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size};

	if (take(&in) & 1)
		drive_table(&in);
	else
		drive_walk(&in);
	return 0;
}
