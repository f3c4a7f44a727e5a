/* mailbox: a bounded queue of embedded nodes from many threads to one.
 *
 * Posting is a lock-free push; the owner takes all at once, in order of posting. `wake` is called by the
 * poster that finds the box empty, so an owner sleeping in a loop is woken once per batch.
 */
#ifndef HF_BASE_MAILBOX_H
#define HF_BASE_MAILBOX_H

#include <stddef.h>

#include "base/api.h"

struct hf_mail {
	struct hf_mail *next;
};
struct hf_mailbox {
	HF_ATOMIC(struct hf_mail *) head;
	void (*wake)(void *context);
	void *context;
};

HF_API void hf_mailbox_init(struct hf_mailbox *box, void (*wake)(void *context), void *context);
HF_API void hf_mailbox_post(struct hf_mailbox *box, struct hf_mail *mail);
/* Posts a chain first→…→last (linked by next) in one push, keeping its order. */
HF_API void hf_mailbox_post_chain(struct hf_mailbox *box, struct hf_mail *first, struct hf_mail *last);
/* All posted mail in order of posting, linked by next; NULL when empty. */
HF_API struct hf_mail *hf_mailbox_take(struct hf_mailbox *box);

#endif
