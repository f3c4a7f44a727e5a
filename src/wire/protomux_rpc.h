/* protomux_rpc: requests, answers and events over one channel, both ways. (spec: Hypercore, section 4.1; npm protomux-rpc)
 *
 * Values are the caller's encoding, as it is; the package's default is a compact buffer, that is, with its length in front.
 * Requests are answered in any order, at once or later. Callbacks may make any call, also free the rpc.
 */
#ifndef HF_WIRE_PROTOMUX_RPC_H
#define HF_WIRE_PROTOMUX_RPC_H

#include "wire/protomux.h"

#define HF_PROTOMUX_RPC_METHOD_BYTES_MAX 255
#define HF_PROTOMUX_RPC_REQUESTS_MAX 1024 /* of ours that wait for an answer */
#define HF_PROTOMUX_RPC_CALLS_MAX 1024    /* of the remote's that we have not answered; more get REQUEST_ERROR */
#define HF_PROTOMUX_RPC_NEVER UINT64_MAX

struct hf_protomux_rpc;

/* Empty slices are absent. The package emits the codes UNKNOWN_METHOD, REQUEST_ERROR, DECODE_ERROR and ENCODE_ERROR; a handler's
 * own error is the cause of a REQUEST_ERROR "Request failed". */
struct hf_protomux_rpc_error {
	struct hf_slice message, code;
	bool has_cause;
	struct hf_slice cause_message, cause_code, cause_context;
};

/* Handles one request of the remote. call: what to answer with, now or later, exactly once; 0 for an event, which has no answer. */
typedef void hf_protomux_rpc_handler(void *context, struct hf_protomux_rpc *rpc, uint64_t call, struct hf_slice value);
struct hf_protomux_rpc_method {
	struct hf_slice name;
	hf_protomux_rpc_handler *handle;
};

/* How a request of ours ended, once. HF_OK: the remote answered, with value or, unless NULL, with an error; HF_ETIMEOUT;
 * HF_ECLOSED. Value and error are borrowed. */
typedef void hf_protomux_rpc_reply(void *context, int result, struct hf_slice value, const struct hf_protomux_rpc_error *error);

struct hf_protomux_rpc_options {
	struct hf_slice protocol;  /* empty: "protomux-rpc" */
	struct hf_slice id, handshake;
	const struct hf_protomux_rpc_method *methods; /* borrowed for as long as the rpc lives */
	size_t method_count;
	int (*open)(void *context, struct hf_protomux_rpc *rpc, struct hf_slice handshake); /* may be NULL; see hf_channel_events */
	void (*close)(void *context, struct hf_protomux_rpc *rpc); /* may be NULL; after the replies of what was outstanding */
	void *context;
};

/* As hf_protomux_open, also in its errors; with one, there is no rpc. It stays until it is freed, also when its channel has closed.
 * *rpc is set before the first callback, and not touched after. */
HF_API int hf_protomux_rpc_new(struct hf_protomux *mux, const struct hf_protomux_rpc_options *options, struct hf_protomux_rpc **rpc);
/* Closes the channel if it is not: outstanding requests end with HF_ECLOSED in this call, `close` is not called. NULL is fine. */
HF_API void hf_protomux_rpc_free(struct hf_protomux_rpc *rpc);
/* Closes the channel when nothing is outstanding on either side, now or later. */
HF_API void hf_protomux_rpc_end(struct hf_protomux_rpc *rpc);
HF_API bool hf_protomux_rpc_is_closed(const struct hf_protomux_rpc *rpc);

/* Sends a request. deadline_us: monotonic, or HF_PROTOMUX_RPC_NEVER. *id (may be NULL) is for cancelling. HF_EBUSY: too many are
 * outstanding; HF_EINVAL: the method's name is too long; HF_ECLOSED, HF_ETOOBIG, HF_ENOMEM. Unless HF_OK, reply is not called. */
HF_API int hf_protomux_rpc_request(struct hf_protomux_rpc *rpc, struct hf_slice method, struct hf_slice value, uint64_t deadline_us,
	hf_protomux_rpc_reply *reply, void *context, uint64_t *id);
/* Forgets a request: reply is not called any more. The remote is not told, for want of a message that says so. */
HF_API void hf_protomux_rpc_cancel(struct hf_protomux_rpc *rpc, uint64_t id);
HF_API int hf_protomux_rpc_event(struct hf_protomux_rpc *rpc, struct hf_slice method, struct hf_slice value);
/* When tick is due: the earliest deadline, or HF_PROTOMUX_RPC_NEVER. tick ends the requests whose deadline has come. */
HF_API uint64_t hf_protomux_rpc_deadline(const struct hf_protomux_rpc *rpc);
HF_API void hf_protomux_rpc_tick(struct hf_protomux_rpc *rpc, uint64_t now_us);

/* Answers a call. HF_ENOTFOUND: answered before; HF_ECLOSED; HF_ETOOBIG, HF_ENOMEM: not answered, and may be again. For call 0
 * nothing is done. */
HF_API int hf_protomux_rpc_answer(struct hf_protomux_rpc *rpc, uint64_t call, struct hf_slice value);
HF_API int hf_protomux_rpc_answer_error(struct hf_protomux_rpc *rpc, uint64_t call, const struct hf_protomux_rpc_error *error);

#endif
