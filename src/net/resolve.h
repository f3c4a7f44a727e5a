/* resolve: the IPv4 address of a host's name, looked up without holding up the loop. */
#ifndef HF_NET_RESOLVE_H
#define HF_NET_RESOLVE_H

#include "base/address.h"
#include "net/loop.h"

struct hf_resolve;

/* done is called once, later: with the first address (port 0) and HF_OK, or HF_EADDR and what the system said. HF_ENOMEM: it is not. */
int hf_resolve_start(struct hf_resolve **out, struct hf_loop *loop, const char *host,
	void (*done)(void *context, int code, const struct hf_address *address, const char *why), void *context);
void hf_resolve_cancel(struct hf_resolve *resolve); /* done is not called any more; NULL is fine */

#endif
