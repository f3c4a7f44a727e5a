#include "net/interfaces.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

size_t hf_interfaces_ipv4(struct hf_address *out, size_t count_max)
{
	struct ifaddrs *all;
	size_t count = 0;

	if (getifaddrs(&all) != 0)
		return 0;
	for (const struct ifaddrs *one = all; one != NULL && count < count_max; one = one->ifa_next) {
		bool is_usable = (one->ifa_flags & IFF_UP) != 0 && (one->ifa_flags & IFF_LOOPBACK) == 0;
		if (is_usable && one->ifa_addr != NULL && one->ifa_addr->sa_family == AF_INET)
			hf_address_from_sockaddr(&out[count++], one->ifa_addr);
	}
	freeifaddrs(all);
	for (size_t i = 0; i < count; i++)
		out[i].port = 0;
	return count;
}
