/* interfaces: the IPv4 addresses of this machine's network interfaces that are up, loopback not among them.
 */
#ifndef HF_NET_INTERFACES_H
#define HF_NET_INTERFACES_H

#include "net/udp.h"

#define HF_INTERFACES_WATCH_MS 5000u /* between two looks; a look takes some 20 us */
#define HF_INTERFACES_WATCHED_MAX 64u

/* Ports are 0. Returns how many there are of at most count_max; 0 also when the system does not say. */
size_t hf_interfaces_ipv4(struct hf_address *out, size_t count_max);

/* Tells when these addresses are others than before. Embedded. */
struct hf_interfaces_watch {
	size_t (*list)(struct hf_address *out, size_t count_max); /* NULL: hf_interfaces_ipv4 */
	void (*changed)(struct hf_interfaces_watch *watch);
	/* Ours. */
	struct hf_udp_host *host;
	struct hf_timer timer;
	struct hf_address known[HF_INTERFACES_WATCHED_MAX];
	size_t known_count;
};
void hf_interfaces_watch_start(struct hf_interfaces_watch *watch, struct hf_udp_host *host);
void hf_interfaces_watch_stop(struct hf_interfaces_watch *watch); /* not started is fine */

#endif
