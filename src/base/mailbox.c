/* Mail is pushed on a stack, newest first, and the owner reverses what it took. Since the owner always takes
 * the whole stack, a node cannot be popped and pushed again between a poster's load and its exchange. */
#include "base/mailbox.h"

void hf_mailbox_init(struct hf_mailbox *box, void (*wake)(void *context), void *context)
{
	atomic_init(&box->head, NULL);
	box->wake = wake;
	box->context = context;
}

static struct hf_mail *reverse(struct hf_mail *mail, struct hf_mail *tail)
{
	struct hf_mail *result = tail;
	while (mail) {
		struct hf_mail *next = mail->next;
		mail->next = result;
		result = mail;
		mail = next;
	}
	return result;
}

/* The stack newest→…→oldest goes on top as it is. */
static void push(struct hf_mailbox *box, struct hf_mail *newest, struct hf_mail *oldest)
{
	/* Taken first: the owner may act on the mail, and even free the box's surroundings, once it is in. */
	void (*wake)(void *context) = box->wake;
	void *context = box->context;
	struct hf_mail *head = atomic_load_explicit(&box->head, memory_order_relaxed);
	do
		oldest->next = head;
	while (!atomic_compare_exchange_weak_explicit(&box->head, &head, newest, memory_order_release,
						      memory_order_relaxed));
	if (!head && wake)
		wake(context);
}

void hf_mailbox_post(struct hf_mailbox *box, struct hf_mail *mail)
{
	push(box, mail, mail);
}

void hf_mailbox_post_chain(struct hf_mailbox *box, struct hf_mail *first, struct hf_mail *last)
{
	last->next = NULL;
	reverse(first, NULL);
	push(box, last, first);
}

struct hf_mail *hf_mailbox_take(struct hf_mailbox *box)
{
	if (!atomic_load_explicit(&box->head, memory_order_relaxed))
		return NULL;
	return reverse(atomic_exchange_explicit(&box->head, NULL, memory_order_acquire), NULL);
}
