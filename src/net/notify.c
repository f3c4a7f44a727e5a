#include "net/notify.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/text.h"

#define MESSAGE_BYTES_MAX 128

struct hf_notify {
	struct hf_loop *loop;
	struct hf_timer timer;
	uint64_t interval_ms; /* 0: nobody asks for signs of life */
	struct sockaddr_un name;
	socklen_t name_length;
	int socket;
};

static void tell(struct hf_notify *n, const char *text)
{
	sendto(n->socket, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&n->name, n->name_length);
}

static void on_timer(struct hf_timer *timer)
{
	struct hf_notify *n = (struct hf_notify *)((char *)timer - offsetof(struct hf_notify, timer));
	tell(n, "WATCHDOG=1");
	hf_loop_timer_set(n->loop, timer, n->interval_ms);
}

/* Half of what is asked for, in milliseconds. */
static uint64_t read_interval(void)
{
	const char *interval = getenv("WATCHDOG_USEC"), *process = getenv("WATCHDOG_PID");
	uint64_t interval_us, number;
	if (process && (hf_text_to_u64(process, &number) < 0 || number != (uint64_t)getpid()))
		return 0;
	return interval && hf_text_to_u64(interval, &interval_us) == HF_OK ? interval_us / 2000 : 0;
}

static int read_name(struct hf_notify *n, const char *path, struct hf_failure *failure)
{
	size_t length = strlen(path);
	if ((path[0] != '/' && path[0] != '@') || length < 2 || length >= sizeof n->name.sun_path)
		return hf_fail(failure, HF_EADDR, "NOTIFY_SOCKET is \"%.100s\", which names no socket.", path);
	n->name.sun_family = AF_UNIX;
	memcpy(n->name.sun_path, path, length);
	if (path[0] == '@')
		n->name.sun_path[0] = '\0';
	n->name_length = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length + (path[0] == '/'));
	return HF_OK;
}

int hf_notify_new(struct hf_notify **out, struct hf_loop *loop, struct hf_failure *failure)
{
	const char *path = getenv("NOTIFY_SOCKET");
	*out = NULL;
	if (!path || !path[0])
		return HF_OK;
	struct hf_notify *n = calloc(1, sizeof *n);
	if (!n)
		return hf_fail(failure, HF_ENOMEM, "Out of memory while starting.");
	n->loop = loop;
	n->timer.fire = on_timer;
	n->interval_ms = read_interval();
	int r = read_name(n, path, failure);
	n->socket = r == HF_OK ? socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0) : -1;
	if (r == HF_OK && n->socket < 0)
		r = hf_fail(failure, HF_EADDR, "Telling NOTIFY_SOCKET failed: no socket.");
	if (r == HF_OK && n->interval_ms > 0)
		r = hf_loop_timer_set(loop, &n->timer, n->interval_ms);
	if (r < 0) {
		hf_notify_free(n);
		return r;
	}
	*out = n;
	return HF_OK;
}

void hf_notify_ready(struct hf_notify *n)
{
	if (n)
		tell(n, "READY=1\nSTATUS=Serving.");
}

void hf_notify_reloading(struct hf_notify *n)
{
	char text[MESSAGE_BYTES_MAX];
	if (!n)
		return;
	snprintf(text, sizeof text, "RELOADING=1\nMONOTONIC_USEC=%llu\nSTATUS=Loading the configuration.",
		(unsigned long long)hf_env_monotonic_us(hf_loop_env(n->loop)));
	tell(n, text);
}

void hf_notify_stopping(struct hf_notify *n)
{
	if (n)
		tell(n, "STOPPING=1\nSTATUS=Letting clients go.");
}

void hf_notify_free(struct hf_notify *n)
{
	if (!n)
		return;
	hf_loop_timer_cancel(n->loop, &n->timer);
	if (n->socket >= 0)
		close(n->socket);
	free(n);
}
