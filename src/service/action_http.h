/* action_http: actions (actions.h) asked for over HTTP: POST /admin/<action> on admin.sock, some of them as POST /api/admin/<action> where
 * clients come in, and what is answered. */
#ifndef HF_SERVICE_ACTION_HTTP_H
#define HF_SERVICE_ACTION_HTTP_H

#include "net/http_server.h"
#include "service/actions.h"

#define HF_ACTION_NAME_BYTES 32
#define HF_ACTION_HTTP_BODY_BYTES_MAX (16u << 20) /* a block of a core and more */

void hf_action_http_name(struct hf_http_exchange *exchange, char out[static HF_ACTION_NAME_BYTES]);
/* Answers with what hf_action_run left and gave; frees call->out. */
void hf_action_http_answer(struct hf_http_exchange *exchange, struct hf_action_call *call, int status);
void hf_action_http_fail(struct hf_http_exchange *exchange, const struct hf_failure *failure);

#endif
