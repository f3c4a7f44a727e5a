#include "service/swarm_config.h"

#include <stdio.h>

#include "base/text.h"

#define ENTRY_BYTES_MAX 280
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_."

static const char *const public_nodes[] = {
	"88.99.3.86@node1.hyperdht.org:49737", "142.93.90.113@node2.hyperdht.org:49737", "138.68.147.8@node3.hyperdht.org:49737"};

static bool read_ip(const char *text, size_t length, struct hf_address *address)
{
	char with_port[HF_ADDRESS_TEXT_BYTES];
	struct hf_failure failure;

	if (length == 0 || length >= sizeof with_port - 2 || strspn(text, "0123456789.") < length)
		return false;
	snprintf(with_port, sizeof with_port, "%.*s:0", (int)length, text);
	return hf_address_parse(with_port, address, &failure) == HF_OK && hf_address_is_ipv4(address);
}

static bool read_name(const char *text, size_t length, char name[static HF_SWARM_HOST_BYTES_MAX + 1])
{
	/* What looks like an address and is none is a slip of the pen. */
	if (length == 0 || length > HF_SWARM_HOST_BYTES_MAX || strspn(text, NAME_CHARACTERS) < length || strspn(text, "0123456789.") >= length)
		return false;
	memcpy(name, text, length);
	name[length] = '\0';
	return true;
}

static bool read_node(const char *entry, struct hf_swarm_bootstrap_node *node)
{
	const char *colon = strrchr(entry, ':'), *at = strchr(entry, '@');
	uint64_t port;

	*node = (struct hf_swarm_bootstrap_node){.name = ""};
	if (!colon || hf_text_to_u64(colon + 1, &port) < 0 || port == 0 || port > UINT16_MAX)
		return false;
	bool is_read = at ? read_ip(entry, (size_t)(at - entry), &node->address) && read_name(at + 1, (size_t)(colon - at - 1), node->name)
		: read_ip(entry, (size_t)(colon - entry), &node->address) || read_name(entry, (size_t)(colon - entry), node->name);
	node->address.port = (uint16_t)port;
	return is_read;
}

static int add_node(struct hf_swarm_bootstrap *bootstrap, const char *entry, struct hf_failure *failure)
{
	struct hf_swarm_bootstrap_node node;

	if (!read_node(entry, &node))
		return hf_fail(failure, HF_EINVAL, "\"%.200s\" is no bootstrap node: write HOST:PORT, or public for the public network.", entry);
	if (bootstrap->count == HF_SWARM_BOOTSTRAP_COUNT_MAX)
		return hf_fail(failure, HF_ETOOBIG, "There are more than %u bootstrap nodes.", HF_SWARM_BOOTSTRAP_COUNT_MAX);
	bootstrap->nodes[bootstrap->count++] = node;
	return HF_OK;
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

size_t hf_swarm_bootstrap_addresses(
	const struct hf_swarm_bootstrap *bootstrap, struct hf_address out[static HF_SWARM_BOOTSTRAP_COUNT_MAX])
{
	size_t count = 0;

	for (size_t i = 0; i < bootstrap->count; i++)
		if (hf_address_is_ipv4(&bootstrap->nodes[i].address))
			out[count++] = bootstrap->nodes[i].address;
	return count;
}
