#include "net/interfaces.h"

#include <ifaddrs.h>
#include <net/if.h>
#include <netinet/in.h>

#include "base/list.h"

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

/* ---- Watching ---- */

static bool has(const struct hf_address *list, size_t count, const struct hf_address *address)
{
	for (size_t i = 0; i < count; i++)
		if (hf_address_equal(&list[i], address))
			return true;
	return false;
}

/* Whether they are others than before; from now on they are the known ones. */
static bool look(struct hf_interfaces_watch *watch)
{
	struct hf_address now[HF_INTERFACES_WATCHED_MAX];
	size_t count = (watch->list ? watch->list : hf_interfaces_ipv4)(now, HF_INTERFACES_WATCHED_MAX);
	bool is_same = count == watch->known_count;

	for (size_t i = 0; i < count && is_same; i++)
		is_same = has(watch->known, watch->known_count, &now[i]);
	memcpy(watch->known, now, count * sizeof *now);
	watch->known_count = count;
	return !is_same;
}

static void on_timer(struct hf_timer *timer)
{
	struct hf_interfaces_watch *watch = HF_CONTAINER_OF(timer, struct hf_interfaces_watch, timer);

	hf_udp_timer_set(watch->host, timer, HF_INTERFACES_WATCH_MS);
	if (look(watch))
		watch->changed(watch);
}

void hf_interfaces_watch_start(struct hf_interfaces_watch *watch, struct hf_udp_host *host)
{
	watch->host = host;
	watch->timer.fire = on_timer;
	watch->known_count = 0;
	look(watch);
	hf_udp_timer_set(host, &watch->timer, HF_INTERFACES_WATCH_MS);
}

void hf_interfaces_watch_stop(struct hf_interfaces_watch *watch)
{
	if (watch->host)
		hf_udp_timer_cancel(watch->host, &watch->timer);
	watch->host = NULL;
}
