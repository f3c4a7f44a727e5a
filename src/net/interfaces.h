/* interfaces: the IPv4 addresses of this machine's network interfaces that are up, loopback not among them. */
#ifndef HF_NET_INTERFACES_H
#define HF_NET_INTERFACES_H

#include "base/address.h"

/* Ports are 0. Returns how many there are of at most count_max; 0 also when the system does not say. */
size_t hf_interfaces_ipv4(struct hf_address *out, size_t count_max);

#endif
