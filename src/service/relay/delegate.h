/* delegate: the stored part of a REQ, looked up by somebody who has a copy of the relay's bee, while the relay itself has much to look up.
 *
 * What comes back only suggests: each event is looked for in the relay's own snapshot, and what came after the copy's version is read from
 * there, so that the client gets what the relay's own index would give, in the same order, before its one EOSE. Nothing is sent before
 * all of it is checked. Where anything does not fit (the copy is too old, an event was deleted since, an answer is false, nobody
 * answers) the relay looks it up itself. What is left out of an answer cannot be seen: who is asked is trusted not to.
 *
 * All on the loop's thread.
 */
#ifndef HF_SERVICE_RELAY_DELEGATE_H
#define HF_SERVICE_RELAY_DELEGATE_H

#include "base/bytes.h"
#include "base/error.h"

#define HF_RELAY_DELEGATE_BYTES_MAX (2u << 20)  /* of one answer's events */
#define HF_RELAY_DELEGATE_EVENTS_MAX 8192u
#define HF_RELAY_DELEGATE_TAIL_MAX 4096u        /* events that came after the copy's version */
#define HF_RELAY_DELEGATE_FILTERS_MAX 64u

struct hf_relay;
struct hf_relay_question; /* the question */

enum hf_relay_verdict {
	HF_RELAY_ANSWER_TRUE,
	HF_RELAY_ANSWER_UNUSABLE, /* nobody's fault: too old, or changed since */
	HF_RELAY_ANSWER_FALSE,    /* an event that is none, or that nobody asked for */
};

struct hf_relay_delegate {
	uint32_t queue_min; /* queries under way or waiting, from which on others are asked */
	/* message: the client's REQ, borrowed. HF_OK: hf_relay_delegate_answered or _failed comes, once and later, unless `cancel` does.
	 * Else nobody can be asked. */
	int (*ask)(void *context, struct hf_relay_question *question, struct hf_slice message, void **handle);
	void (*cancel)(void *context, void *handle);                               /* the client wants it no more; the handle is over */
	void (*judged)(void *context, void *handle, enum hf_relay_verdict verdict); /* after `answered`; the handle is over */
	void *context;
};
/* Copied; NULL: nobody is asked any more. Questions under way keep their delegate's functions. */
void hf_relay_set_delegate(struct hf_relay *relay, const struct hf_relay_delegate *delegate);

/* One event of the answer, as JSON; copied. HF_ETOOBIG, HF_ENOMEM: give it up by hf_relay_delegate_failed. */
int hf_relay_delegate_event(struct hf_relay_question *question, struct hf_slice event);
/* All were given: as of this version of the bee, and at most limit_max of each filter. */
void hf_relay_delegate_answered(struct hf_relay_question *question, uint64_t version, uint64_t fork, uint64_t limit_max);
void hf_relay_delegate_failed(struct hf_relay_question *question); /* the handle is over */

#endif
