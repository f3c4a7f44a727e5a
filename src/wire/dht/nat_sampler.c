#include "wire/dht/nat_sampler.h"

#define RING (2 * HF_NAT_SAMPLE_COUNT)
#define NONE 0xff
#define LOOK_BACK 4 /* samples */

void hf_nat_sampler_init(struct hf_nat_sampler *sampler)
{
	*sampler = (struct hf_nat_sampler){.best = {NONE, NONE}};
}

static uint8_t new_sampled(struct hf_nat_sampler *s, const struct hf_address *address)
{
	uint8_t at = 0;

	while (s->sampled[at].references > 0) /* the ring and the two best refer to at most so many */
		at++;
	s->sampled[at] = (struct hf_nat_sampled){.address = *address, .hits = 1};
	return at;
}

/* The entry for an address: one of the last four of its kind, or a new one. It is referred to from now on. */
static uint8_t bump(struct hf_nat_sampler *s, const struct hf_address *address, unsigned back)
{
	uint8_t found = NONE;

	for (unsigned i = 0; i < LOOK_BACK && found == NONE; i++) {
		unsigned at = (s->top - back - 2 * i) & (RING - 1);
		if (at >= s->count)
			break;
		if (hf_address_equal(&s->sampled[s->ring[at]].address, address))
			found = s->ring[at];
	}
	if (found == NONE)
		found = new_sampled(s, address);
	else
		s->sampled[found].hits++;
	s->sampled[found].references++;
	return found;
}

static void push(struct hf_nat_sampler *s, uint8_t entry)
{
	if (s->count < RING) {
		s->ring[s->count++] = entry;
	} else {
		struct hf_nat_sampled *old = &s->sampled[s->ring[s->top & (RING - 1)]];
		old->hits--;
		old->references--;
		s->ring[s->top & (RING - 1)] = entry;
	}
	s->top++;
}

static void keep_best(struct hf_nat_sampler *s, unsigned kind, uint8_t entry)
{
	uint8_t best = s->best[kind];

	if (best != NONE && s->sampled[best].hits >= s->sampled[entry].hits)
		return;
	if (best != NONE)
		s->sampled[best].references--;
	s->sampled[entry].references++;
	s->best[kind] = entry;
}

unsigned hf_nat_sampler_add(struct hf_nat_sampler *sampler, const struct hf_address *address)
{
	struct hf_nat_sampler *s = sampler;
	struct hf_address host = *address;
	uint8_t with_port, alone;
	unsigned size, hits;

	host.port = 0;
	with_port = bump(s, address, 2);
	alone = bump(s, &host, 1);
	if (s->count < RING) {
		size = s->count / 2u + 1;
		s->threshold = (uint8_t)(size - (size < 4 ? 0 : size < 8 ? 1 : size < 12 ? 2 : 3));
	} else if (s->top == RING) {
		s->top = 0;
	}
	push(s, with_port);
	push(s, alone);
	hits = s->sampled[with_port].hits;
	keep_best(s, 0, with_port);
	keep_best(s, 1, alone);
	s->has_host = true;
	if (s->sampled[s->best[0]].hits >= s->threshold) {
		s->address = s->sampled[s->best[0]].address;
	} else if (s->sampled[s->best[1]].hits >= s->threshold) {
		s->address = s->sampled[s->best[1]].address;
	} else {
		s->address = (struct hf_address){0};
		s->has_host = false;
	}
	return hits;
}
