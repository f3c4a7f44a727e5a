#include "wire/dht/nat.h"

#define SAMPLES_MIN 3u       /* before that there is no verdict */
#define CONSISTENT_HITS 3u
#define OTHER_ADDRESSES_MAX 2u /* of a consistent NAT's, those that were seen once included */

void hf_dht_nat_init(struct hf_dht_nat *nat, bool is_firewalled)
{
	memset(nat, 0, sizeof *nat);
	nat->is_firewalled = is_firewalled;
	nat->firewall = is_firewalled ? HF_DHT_FIREWALL_UNKNOWN : HF_DHT_FIREWALL_OPEN;
}

bool hf_dht_nat_knows_node(const struct hf_dht_nat *nat, const struct hf_address *node)
{
	for (unsigned i = 0; i < nat->sample_count; i++)
		if (hf_address_equal(&nat->nodes[i], node))
			return true;
	return false;
}

/* One more hit, which moves the sample before those that have fewer. */
static void count(struct hf_dht_nat_sample *samples, unsigned *sample_count, const struct hf_address *address)
{
	unsigned i = 0;

	while (i < *sample_count && !hf_address_equal(&samples[i].address, address))
		i++;
	if (i == *sample_count) {
		samples[(*sample_count)++] = (struct hf_dht_nat_sample){.address = *address, .hits = 1};
		return;
	}
	samples[i].hits++;
	for (; i > 0 && samples[i - 1].hits < samples[i].hits; i--) {
		struct hf_dht_nat_sample before = samples[i - 1];
		samples[i - 1] = samples[i];
		samples[i] = before;
	}
}

static enum hf_dht_firewall judge(const struct hf_dht_nat *nat)
{
	unsigned hits = nat->full_count > 0 ? nat->full[0].hits : 0;

	if (!nat->is_firewalled)
		return HF_DHT_FIREWALL_OPEN;
	if (nat->sample_count < SAMPLES_MIN)
		return nat->firewall == HF_DHT_FIREWALL_OPEN ? HF_DHT_FIREWALL_UNKNOWN : nat->firewall;
	if (hits >= CONSISTENT_HITS)
		return HF_DHT_FIREWALL_CONSISTENT;
	if (hits == 1 || (nat->host_count == 1 && nat->sample_count > SAMPLES_MIN))
		return HF_DHT_FIREWALL_RANDOM;
	if (nat->host_count > 1 && nat->full[1].hits > 1)
		return HF_DHT_FIREWALL_CONSISTENT; /* two hosts, each seen twice the same */
	return nat->sample_count > HF_DHT_NAT_SAMPLES_ENOUGH ? HF_DHT_FIREWALL_RANDOM : nat->firewall;
}

static void choose_addresses(struct hf_dht_nat *nat)
{
	struct hf_dht_addresses *addresses = &nat->addresses;

	if (nat->firewall == HF_DHT_FIREWALL_OPEN)
		return;
	addresses->count = 0;
	nat->has_addresses = nat->firewall != HF_DHT_FIREWALL_UNKNOWN;
	if (nat->firewall == HF_DHT_FIREWALL_RANDOM)
		hf_dht_addresses_add(addresses, &nat->hosts[0].address);
	if (nat->firewall == HF_DHT_FIREWALL_CONSISTENT)
		for (unsigned i = 0; i < nat->full_count; i++)
			if (nat->full[i].hits >= 2 || addresses->count < OTHER_ADDRESSES_MAX)
				hf_dht_addresses_add(addresses, &nat->full[i].address);
}

void hf_dht_nat_add(struct hf_dht_nat *nat, const struct hf_address *seen, const struct hf_address *node)
{
	struct hf_address host = *seen;

	if (nat->sample_count == HF_DHT_NAT_SAMPLES_MAX || hf_dht_nat_knows_node(nat, node))
		return;
	host.port = 0;
	count(nat->hosts, &nat->host_count, &host);
	count(nat->full, &nat->full_count, seen);
	nat->nodes[nat->sample_count++] = *node;
	if (nat->is_frozen || (nat->sample_count < SAMPLES_MIN && nat->is_firewalled))
		return;
	nat->firewall = judge(nat);
	choose_addresses(nat);
}

bool hf_dht_nat_is_settled(const struct hf_dht_nat *nat)
{
	return nat->firewall == HF_DHT_FIREWALL_CONSISTENT || nat->firewall == HF_DHT_FIREWALL_OPEN ||
	       nat->sample_count >= HF_DHT_NAT_SAMPLES_ENOUGH;
}

void hf_dht_nat_freeze(struct hf_dht_nat *nat)
{
	nat->is_frozen = true;
}
