#include "service/swarm_config.h"

#include <netdb.h>
#include <stdio.h>

#include "base/text.h"

#define ENTRY_BYTES_MAX 280

static const char *const public_nodes[] = {
	"88.99.3.86@node1.hyperdht.org:49737", "142.93.90.113@node2.hyperdht.org:49737", "138.68.147.8@node3.hyperdht.org:49737"};

static int look_up(const char *host, struct hf_address *address, struct hf_failure *failure)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM}, *found = NULL;
	uint16_t port = address->port;
	int r = getaddrinfo(host, NULL, &hints, &found);

	if (r != 0 || !found)
		return hf_fail(failure, HF_EADDR, "The bootstrap node %.200s cannot be found: %s.", host, r ? gai_strerror(r) : "no address");
	hf_address_from_sockaddr(address, found->ai_addr);
	address->port = port;
	freeaddrinfo(found);
	return HF_OK;
}

static int add_node(struct hf_swarm_bootstrap *bootstrap, const char *entry, struct hf_failure *failure)
{
	char host[ENTRY_BYTES_MAX];
	const char *colon = strrchr(entry, ':');
	char *at;
	uint64_t port;
	struct hf_address address = {.port = 0};

	if (!colon || colon == entry || hf_text_to_u64(colon + 1, &port) < 0 || port == 0 || port > UINT16_MAX)
		return hf_fail(failure, HF_EINVAL, "\"%.200s\" is no bootstrap node: write HOST:PORT, or public for the public network.", entry);
	if (bootstrap->count == HF_SWARM_BOOTSTRAP_COUNT_MAX)
		return hf_fail(failure, HF_ETOOBIG, "There are more than %u bootstrap nodes.", HF_SWARM_BOOTSTRAP_COUNT_MAX);
	snprintf(host, sizeof host, "%.*s", (int)(colon - entry), entry);
	at = strchr(host, '@');
	if (at)
		*at = '\0';
	address.port = (uint16_t)port;
	int r = look_up(host, &address, failure);
	if (r == HF_OK)
		bootstrap->nodes[bootstrap->count++] = address;
	return r;
}

int hf_swarm_bootstrap_add(struct hf_swarm_bootstrap *bootstrap, const char *text, struct hf_failure *failure)
{
	char entry[ENTRY_BYTES_MAX];
	int r = HF_OK;

	for (const char *begin = text; r == HF_OK && *begin;) {
		size_t length = strcspn(begin, ","), blank = strspn(begin, " \t");
		snprintf(entry, sizeof entry, "%.*s", (int)(blank < length ? length - blank : 0), begin + (blank < length ? blank : 0));
		begin += length + (begin[length] == ',');
		for (size_t end = strlen(entry); end > 0 && (entry[end - 1] == ' ' || entry[end - 1] == '\t'); end--)
			entry[end - 1] = '\0';
		if (strcmp(entry, "public") == 0) {
			for (size_t i = 0; r == HF_OK && i < sizeof public_nodes / sizeof *public_nodes; i++)
				r = add_node(bootstrap, public_nodes[i], failure);
		} else if (entry[0]) {
			r = add_node(bootstrap, entry, failure);
		}
	}
	return r;
}
