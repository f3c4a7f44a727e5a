#include "net/resolve.h"

#include <netdb.h>
#include <stdlib.h>

#include "net/loop_private.h"

struct hf_resolve {
	uv_getaddrinfo_t request;
	void (*done)(void *context, int code, const struct hf_address *address, const char *why); /* NULL: cancelled */
	void *context;
};

static void on_found(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
	struct hf_resolve *resolve = request->data;
	struct hf_address address = {.port = 0};

	if (found)
		hf_address_from_sockaddr(&address, found->ai_addr);
	if (resolve->done)
		resolve->done(resolve->context, found ? HF_OK : HF_EADDR, &address, status < 0 ? uv_strerror(status) : "it has no address");
	uv_freeaddrinfo(found);
	free(resolve);
}

int hf_resolve_start(struct hf_resolve **out, struct hf_loop *loop, const char *host,
	void (*done)(void *context, int code, const struct hf_address *address, const char *why), void *context)
{
	struct addrinfo hints = {.ai_family = AF_INET, .ai_socktype = SOCK_DGRAM};
	struct hf_resolve *resolve = calloc(1, sizeof *resolve);

	*out = resolve;
	if (!resolve)
		return HF_ENOMEM;
	resolve->request.data = resolve;
	resolve->done = done;
	resolve->context = context;
	if (uv_getaddrinfo(&loop->uv, &resolve->request, on_found, host, NULL, &hints) == 0)
		return HF_OK;
	free(resolve);
	*out = NULL;
	return HF_ENOMEM;
}

void hf_resolve_cancel(struct hf_resolve *resolve)
{
	if (!resolve)
		return;
	resolve->done = NULL;
	uv_cancel((uv_req_t *)&resolve->request);
}
