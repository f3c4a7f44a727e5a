/* doctor_network: whether what is configured to listen can, names are found, and datagrams pass. */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "net/udp.h"
#include "service/swarm_config.h"

#define NAME_WAIT_S 5
#define DATAGRAM_WAIT_MS 500

/* ---- Ports ---- */

/* The inode of the socket that listens at a port; 0: none. */
static unsigned long listener_inode(const char *table, unsigned port)
{
	char line[512];
	unsigned long found = 0;
	FILE *file = fopen(table, "re");
	while (file && !found && fgets(line, sizeof line, file)) {
		unsigned local_port, state;
		unsigned long inode;
		if (sscanf(line, " %*d: %*[0-9A-F]:%x %*[0-9A-F]:%*x %x %*s %*s %*s %*u %*u %lu", &local_port, &state, &inode) == 3 &&
			local_port == port && state == 0x0a)
			found = inode;
	}
	if (file)
		fclose(file);
	return found;
}

static bool has_socket(const char *process, const char *wanted)
{
	char folder[64], link[128], target[64];
	struct dirent *entry;
	bool is_found = false;
	snprintf(folder, sizeof folder, "/proc/%.20s/fd", process);
	DIR *descriptors = opendir(folder);
	while (descriptors && !is_found && (entry = readdir(descriptors)) != NULL) {
		snprintf(link, sizeof link, "%s/%.20s", folder, entry->d_name);
		ssize_t length = readlink(link, target, sizeof target - 1);
		target[length > 0 ? length : 0] = '\0';
		is_found = strcmp(target, wanted) == 0;
	}
	if (descriptors)
		closedir(descriptors);
	return is_found;
}

static unsigned long any_listener_inode(unsigned port)
{
	unsigned long inode = listener_inode("/proc/net/tcp", port);
	return inode ? inode : listener_inode("/proc/net/tcp6", port);
}

/* The process that listens at a port; 0: it cannot be seen from here. */
static pid_t listener(unsigned port)
{
	char wanted[64];
	pid_t found = 0;
	struct dirent *entry;
	unsigned long inode = any_listener_inode(port);
	snprintf(wanted, sizeof wanted, "socket:[%lu]", inode);
	DIR *processes = inode ? opendir("/proc") : NULL;
	while (processes && !found && (entry = readdir(processes)) != NULL)
		if (entry->d_name[0] >= '1' && entry->d_name[0] <= '9' && has_socket(entry->d_name, wanted))
			found = (pid_t)atoi(entry->d_name);
	if (processes)
		closedir(processes);
	return found;
}

static void find_taken(struct hf_doctor *d, const char *name, const char *word, unsigned port)
{
	pid_t holder = listener(port);
	if (d->holder_answers && (holder == d->holder || holder == 0)) {
		hf_doctor_ok(d, "ports", HF_DOCTOR_TEXT("gateway.%s %s is taken by the running gateway", name, word));
		return;
	}
	hf_doctor_find(d, HF_DOCTOR_FAULT, "ports", holder ? HF_DOCTOR_TEXT("gateway.%s: %s is taken by process %d.", name, word, (int)holder)
		: HF_DOCTOR_TEXT("gateway.%s: %s is taken by another process.", name, word), "The gateway does not start.",
		HF_DOCTOR_TEXT("sudo ss -ltnp 'sport = :%u'", port));
}

static void find_unbindable(struct hf_doctor *d, const char *name, const char *word, unsigned port, int why)
{
	if (why == EACCES || why == EPERM)
		hf_doctor_find(d, HF_DOCTOR_FAULT, "ports", HF_DOCTOR_TEXT("gateway.%s: this user may not listen at %s.", name, word),
			"Ports below 1024 are for root, or for who has the capability for them.",
			"sudo install -D -m 0644 /usr/share/doc/holdfast/examples/low-ports.conf /etc/systemd/system/holdfast.service.d/low-ports.conf && "
			"sudo systemctl daemon-reload && sudo systemctl restart holdfast");
	else if (why == EADDRNOTAVAIL || why == EAFNOSUPPORT)
		hf_doctor_find(d, HF_DOCTOR_FAULT, "ports", HF_DOCTOR_TEXT("gateway.%s: %s is no address of this machine.", name, word),
			"The gateway does not start.", HF_DOCTOR_TEXT("ip -brief address; then: %s", HF_DOCTOR_SET(d, "gateway", name,
				HF_DOCTOR_TEXT("0.0.0.0:%u", port))));
	else
		hf_doctor_find(d, HF_DOCTOR_FAULT, "ports", HF_DOCTOR_TEXT("gateway.%s: listening at %s fails: %s.", name, word, strerror(why)),
			"The gateway does not start.", "ip -brief address");
}

static void look_at_port(struct hf_doctor *d, const char *name, const char *word)
{
	struct hf_address address;
	struct sockaddr_storage where;
	int on = 1;
	if (hf_address_parse(word, &address, NULL) < 0)
		return;
	socklen_t length = hf_address_to_sockaddr(&address, &where);
	int fd = socket(where.ss_family, SOCK_STREAM | SOCK_CLOEXEC, 0), why = 0;
	if (fd >= 0)
		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (fd < 0 || bind(fd, (struct sockaddr *)&where, length) < 0)
		why = errno;
	if (fd >= 0)
		close(fd);
	/* Who may not listen there may still be asking of a service that does. */
	if (why == EADDRINUSE || ((why == EACCES || why == EPERM) && d->holder_answers && any_listener_inode(address.port) != 0))
		find_taken(d, name, word, address.port);
	else if (why)
		find_unbindable(d, name, word, address.port, why);
	else
		hf_doctor_ok(d, "ports", HF_DOCTOR_TEXT("gateway.%s %s is free", name, word));
}

static void look_at_ports(struct hf_doctor *d)
{
	const struct { const char *name, *list; } settings[] = {{"listen", d->config->listen}, {"tls_listen", d->config->tls_listen},
		{"metrics_listen", d->config->metrics_listen}, {"cores_listen", d->config->cores_listen}};
	char word[HF_ADDRESS_TEXT_BYTES];
	for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
		for (const char *list = settings[i].list; hf_doctor_next_word(&list, sizeof word, word);)
			look_at_port(d, settings[i].name, word);
}

/* ---- IPv6 ---- */

static bool has_global_ipv6(void)
{
	struct ifaddrs *all = NULL;
	bool is_found = false;
	if (getifaddrs(&all) < 0)
		return false;
	for (const struct ifaddrs *one = all; one; one = one->ifa_next)
		if (one->ifa_addr && one->ifa_addr->sa_family == AF_INET6 && !(one->ifa_flags & IFF_LOOPBACK)) {
			const struct in6_addr *ip = &((const struct sockaddr_in6 *)(const void *)one->ifa_addr)->sin6_addr;
			is_found = is_found || !(IN6_IS_ADDR_LINKLOCAL(ip) || (ip->s6_addr[0] & 0xfe) == 0xfc);
		}
	freeifaddrs(all);
	return is_found;
}

/* The gateway's sockets of [::] take IPv4, too. */
static char *with_ipv6(const char *list, char out[static HF_DOCTOR_TEXT_BYTES])
{
	const char *any = strstr(list, "0.0.0.0:");
	return hf_doctor_text(out, "%.*s[::]:%s", (int)(any - list), list, any + strlen("0.0.0.0:"));
}

static void look_at_ipv6(struct hf_doctor *d)
{
	const char *listen = d->config->listen, *tls = d->config->tls_listen;
	bool is_there = has_global_ipv6(), is_plain = strstr(listen, "0.0.0.0:") != NULL, is_any = is_plain || strstr(tls, "0.0.0.0:");
	char changed[HF_DOCTOR_TEXT_BYTES];
	if (is_there && is_any && !strchr(listen, '[') && !strchr(tls, '['))
		hf_doctor_find(d, HF_DOCTOR_WARNING, "IPv6", "The machine has a public IPv6 address, and the gateway listens on IPv4 only.",
			"If its name has an AAAA record, clients with IPv6 wait for an answer first.",
			HF_DOCTOR_SET(d, "gateway", is_plain ? "listen" : "tls_listen", with_ipv6(is_plain ? listen : tls, changed)));
	else
		hf_doctor_ok(d, "IPv6", is_there ? "there is a public address" : "no public address; clients come by IPv4, or through a proxy");
}

/* ---- Names ---- */

static void tell_of_name(struct hf_doctor *d, const struct hf_swarm_bootstrap_node *node, int code)
{
	if (code == 0)
		hf_doctor_ok(d, "names", HF_DOCTOR_TEXT("%s is found", node->name));
	else if (hf_address_is_ipv4(&node->address))
		hf_doctor_ok(d, "names", HF_DOCTOR_TEXT("%s is not found, and has an address in any case", node->name));
	else
		hf_doctor_find(d, HF_DOCTOR_FAULT, "names", HF_DOCTOR_TEXT("swarm.bootstrap: %s is not found: %s.", node->name,
			code == EAI_INPROGRESS ? "no answer within 5 s" : gai_strerror(code)),
			"Where no bootstrap node is found, the gateway finds nobody, and is found by nobody.",
			HF_DOCTOR_TEXT("getent ahostsv4 %s; cat /etc/resolv.conf", node->name));
}

/* Lives on when a look-up does, which the system does not always let be cancelled. */
struct names {
	struct hf_swarm_bootstrap bootstrap;
	struct gaicb requests[HF_SWARM_BOOTSTRAP_COUNT_MAX], *list[HF_SWARM_BOOTSTRAP_COUNT_MAX];
	struct addrinfo hints;
	size_t count;
};

static void wait_for_names(struct hf_doctor *d, struct names *names)
{
	uint64_t end_us = hf_env_monotonic_us(&d->cli->env) + NAME_WAIT_S * UINT64_C(1000000);
	for (size_t i = 0; i < names->count; i++)
		while (gai_error(names->list[i]) == EAI_INPROGRESS && hf_env_monotonic_us(&d->cli->env) < end_us) {
			const struct gaicb *one[1] = {names->list[i]};
			gai_suspend(one, 1, &(struct timespec){.tv_nsec = 100000000});
		}
}

/* Whether all look-ups have ended. */
static bool tell_of_names(struct hf_doctor *d, struct names *names)
{
	bool is_over = true;
	for (size_t i = 0; i < names->bootstrap.count; i++) {
		if (!names->requests[i].ar_name)
			continue;
		int code = gai_error(&names->requests[i]);
		tell_of_name(d, &names->bootstrap.nodes[i], code);
		is_over = is_over && code != EAI_INPROGRESS;
		if (code == 0)
			freeaddrinfo(names->requests[i].ar_result);
	}
	return is_over;
}

static void look_at_names(struct hf_doctor *d)
{
	struct hf_failure failure = {0};
	struct names *names = calloc(1, sizeof *names);
	if (!names)
		return;
	if (hf_swarm_bootstrap_add(&names->bootstrap, d->config->swarm_bootstrap, &failure) < 0) {
		hf_doctor_find(d, HF_DOCTOR_FAULT, "names", failure.text, "The swarm does not start.", HF_DOCTOR_SET(d, "swarm", "bootstrap", "public"));
		free(names);
		return;
	}
	names->hints = (struct addrinfo){.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM};
	for (size_t i = 0; i < names->bootstrap.count; i++)
		if (names->bootstrap.nodes[i].name[0]) {
			names->requests[i] = (struct gaicb){.ar_name = names->bootstrap.nodes[i].name, .ar_request = &names->hints};
			names->list[names->count++] = &names->requests[i];
		}
	if (names->count == 0 || getaddrinfo_a(GAI_NOWAIT, names->list, (int)names->count, NULL) != 0) {
		hf_doctor_ok(d, "names", "none has to be looked up");
		free(names);
		return;
	}
	wait_for_names(d, names);
	if (tell_of_names(d, names))
		free(names);
}

/* ---- Datagrams ---- */

static bool passes_datagram(int *why)
{
	struct sockaddr_in here = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t length = sizeof here;
	char byte = 1;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	bool is_well = fd >= 0 && bind(fd, (struct sockaddr *)&here, sizeof here) == 0 && getsockname(fd, (struct sockaddr *)&here,
		&length) == 0 &&
		sendto(fd, &byte, 1, 0, (struct sockaddr *)&here, length) == 1 &&
		poll(&(struct pollfd){.fd = fd, .events = POLLIN}, 1, DATAGRAM_WAIT_MS) == 1 && recv(fd, &byte, 1, 0) == 1;
	*why = errno;
	if (fd >= 0)
		close(fd);
	return is_well;
}

static void look_at_datagrams(struct hf_doctor *d)
{
	uint64_t most;
	int why;
	if (!d->config->swarm && !d->config->worker_gateways[0]) {
		hf_doctor_ok(d, "UDP", "not used: gateway.swarm = no");
		return;
	}
	if (!passes_datagram(&why))
		hf_doctor_find(d, HF_DOCTOR_FAULT, "UDP", HF_DOCTOR_TEXT("A datagram to this machine itself does not arrive: %s.", strerror(why)),
			"The swarm is UDP: nobody is found, and no worker comes.", "sudo nft list ruleset");
	else
		hf_doctor_ok(d, "UDP", "passes here; the way out is told of by `holdfast admin health`");
	if (!hf_doctor_read_number("/proc/sys/net/core/rmem_max", "", &most))
		return;
	if (most < HF_UDP_RECEIVE_BUFFER_BYTES)
		hf_doctor_find(d, HF_DOCTOR_WARNING, "UDP buffers", HF_DOCTOR_TEXT("net.core.rmem_max is %llu; %d are asked for.",
			(unsigned long long)most,
			HF_UDP_RECEIVE_BUFFER_BYTES), "While the process is busy, packets of fast peers are lost and sent again, which is slow.",
			HF_DOCTOR_TEXT("printf 'net.core.rmem_max = %d\\n' | sudo tee /etc/sysctl.d/90-holdfast.conf && sudo sysctl --system",
				HF_UDP_RECEIVE_BUFFER_BYTES));
	else
		hf_doctor_ok(d, "UDP buffers", HF_DOCTOR_TEXT("net.core.rmem_max is %llu", (unsigned long long)most));
}

void hf_doctor_look_at_network(struct hf_doctor *d)
{
	if (!d->is_config_right)
		return;
	look_at_ports(d);
	look_at_ipv6(d);
	look_at_names(d);
	look_at_datagrams(d);
}
