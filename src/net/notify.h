/* notify: tells who started this process how it goes: ready, reloading, ending, alive. (sd_notify(3); without systemd's library)
 *
 * Who wants to be told names a datagram socket in NOTIFY_SOCKET, a path, or with @ in front an abstract name; without one all of this does
 * nothing. WATCHDOG_USEC says how often it wants to hear that the process lives, if WATCHDOG_PID is this process or not set.
 */
#ifndef HF_NET_NOTIFY_H
#define HF_NET_NOTIFY_H

#include "net/loop.h"

struct hf_notify;

/* *out NULL with HF_OK: nobody wants to be told. loop: that the process lives is said from it, twice as often as asked for, so that one
 * which hangs is found out. HF_EADDR: the socket's name cannot be; HF_ENOMEM. */
int hf_notify_new(struct hf_notify **out, struct hf_loop *loop, struct hf_failure *failure);
/* Each: NULL is fine. Nothing is waited for, and what cannot be told is not. */
void hf_notify_ready(struct hf_notify *notify);     /* once it serves, and after each reload */
void hf_notify_reloading(struct hf_notify *notify);
void hf_notify_stopping(struct hf_notify *notify);
void hf_notify_free(struct hf_notify *notify);      /* before the loop */

#endif
