/* api: the routes over HTTP for peers that register relays and have tokens made for their users (docs/registration.md), and those of
 * administration for the same. (Private to service/gateway/)
 *
 * Handlers' context is the gateway. Where a part of it is off they answer 503. What is asked of them is signed, and that is checked by
 * the registrar: HF_ACCESS_SIGNED says so in the table of routes.
 */
#ifndef HF_SERVICE_GATEWAY_API_H
#define HF_SERVICE_GATEWAY_API_H

#include "net/http_server.h"

#define HF_API_BODY_BYTES_MAX (256u << 10) /* what the server for clients must let through */

extern const struct hf_http_route hf_gateway_api_routes[];
extern const size_t hf_gateway_api_route_count;

/* POST /admin/tokens/list, tokens/revoke, registry/list, registry/remove and gateway/routes. */
extern const struct hf_http_route hf_gateway_api_admin_routes[];
extern const size_t hf_gateway_api_admin_route_count;

#endif
