/* loop: one libuv loop with what every user of it needs: timers, a mailbox from other threads, and work to do
 * at the end of an iteration (so that all that is pending for a socket goes out in one writev).
 * Everything here belongs to the loop's thread, but hf_loop_post and hf_loop_stop.
 */
#ifndef HF_NET_LOOP_H
#define HF_NET_LOOP_H

#include "base/env.h"
#include "base/mailbox.h"
#include "base/timers.h"

struct hf_loop;

/* Mail with what to do on the loop's thread. */
struct hf_loop_mail {
	struct hf_mail mail;
	void (*deliver)(struct hf_loop_mail *mail);
};
/* Embedded; queued at most once; run at the end of the current iteration, in order of deferral. */
struct hf_loop_deferred {
	struct hf_loop_deferred *next;
	void (*run)(struct hf_loop_deferred *deferred);
	bool queued;
};

HF_API int hf_loop_new(struct hf_loop **out, struct hf_env *env);
HF_API int hf_loop_run(struct hf_loop *loop);   /* until hf_loop_stop; may be run again */
HF_API void hf_loop_stop(struct hf_loop *loop); /* any thread; run returns after the current iteration */
/* One iteration; waits for something to happen when `wait` is set. For tests and short-lived tools. */
HF_API int hf_loop_poll(struct hf_loop *loop, bool wait);
HF_API void hf_loop_free(struct hf_loop *loop); /* ends what is left; servers are freed before */
HF_API struct hf_env *hf_loop_env(struct hf_loop *loop);
HF_API uint64_t hf_loop_now_us(struct hf_loop *loop);                      /* monotonic, as of this iteration */
HF_API void hf_loop_post(struct hf_loop *loop, struct hf_loop_mail *mail); /* any thread */
HF_API void hf_loop_post_chain(struct hf_loop *loop, struct hf_loop_mail *first, struct hf_loop_mail *last);
HF_API void hf_loop_defer(struct hf_loop *loop, struct hf_loop_deferred *deferred);
HF_API void hf_loop_cancel_deferred(struct hf_loop *loop, struct hf_loop_deferred *deferred);
HF_API int hf_loop_timer_set(struct hf_loop *loop, struct hf_timer *timer, uint64_t delay_ms);
HF_API void hf_loop_timer_cancel(struct hf_loop *loop, struct hf_timer *timer);
/* Calls on_signal on the loop for SIGTERM, SIGINT, SIGHUP, …; replaces an earlier handler of that signal. */
HF_API int hf_loop_on_signal(
	struct hf_loop *loop, int signal_number, void (*on_signal)(void *context, int signal_number), void *context);

#endif
