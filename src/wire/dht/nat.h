/* nat: what kind of NAT a socket is behind, found from how several nodes see its address. (spec: swarm, 4.10)
 *
 * Each node counts once. A verdict may change with more samples until it is frozen, which is when it was told to the other peer.
 */
#ifndef HF_WIRE_DHT_NAT_H
#define HF_WIRE_DHT_NAT_H

#include "wire/dht/handshake.h"

#define HF_DHT_NAT_SAMPLES_ENOUGH 4u /* with so many there is an end of asking */
#define HF_DHT_NAT_SAMPLES_MAX 32u   /* more say nothing new */

struct hf_dht_nat_sample {
	struct hf_address address;
	unsigned hits;
};
struct hf_dht_nat {
	enum hf_dht_firewall firewall;
	bool is_firewalled; /* as the node knows of itself: if not, the NAT is open */
	bool is_frozen;
	bool has_addresses;
	struct hf_dht_addresses addresses; /* to tell the other peer; port 0: it is random */
	unsigned sample_count, host_count, full_count;
	struct hf_dht_nat_sample hosts[HF_DHT_NAT_SAMPLES_MAX], full[HF_DHT_NAT_SAMPLES_MAX]; /* most hits first */
	struct hf_address nodes[HF_DHT_NAT_SAMPLES_MAX];
};

void hf_dht_nat_init(struct hf_dht_nat *nat, bool is_firewalled);
/* node has seen the socket at this address. */
void hf_dht_nat_add(struct hf_dht_nat *nat, const struct hf_address *seen, const struct hf_address *node);
bool hf_dht_nat_knows_node(const struct hf_dht_nat *nat, const struct hf_address *node); /* it was heard */
/* No more has to be asked. */
bool hf_dht_nat_is_settled(const struct hf_dht_nat *nat);
void hf_dht_nat_freeze(struct hf_dht_nat *nat);

/* For punching, open is as good as consistent. */
static inline bool hf_dht_firewall_is_consistent(uint64_t firewall)
{
	return firewall == HF_DHT_FIREWALL_OPEN || firewall == HF_DHT_FIREWALL_CONSISTENT;
}

#endif
