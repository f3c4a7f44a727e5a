/* loop_private: what the parts of net/ share on one loop. Not for other layers. */
#ifndef HF_NET_LOOP_PRIVATE_H
#define HF_NET_LOOP_PRIVATE_H

#include <uv.h>

#include "net/loop.h"
#include "net/memory.h"

/* Large enough that a busy socket is emptied in few reads, small enough for the processor's second-level cache. */
#define HF_LOOP_READ_BYTES 131072

struct hf_websocket_deflate;
struct hf_stream_pool;
struct hf_tls;
struct hf_loop_signal;
struct hf_secret_stream_pool;
struct hf_udp_host;

/* Every handle's data is the function that closes it and frees what it belongs to, for hf_loop_free. */
typedef void (*hf_handle_abandon)(uv_handle_t *handle);

struct hf_loop {
	uv_loop_t uv;
	struct hf_env *env;
	struct hf_mailbox mailbox;
	uv_async_t wake;
	uv_prepare_t before_wait;
	uv_check_t after_wait;
	uv_idle_t busy; /* active while deferred work is left over: do not wait then */
	uv_poll_t clock;
	int clock_fd;               /* a timerfd: libuv's own timers have milliseconds, which are long on a fast network */
	uint64_t clock_deadline_us; /* what clock is set to; UINT64_MAX when idle */
	struct hf_timers timers;
	struct hf_loop_deferred *deferred_first, **deferred_last;
	uint64_t now_us; /* 0: not read in this iteration */
	_Atomic bool stop_asked;
	bool is_ending; /* nothing new is opened any more */
	struct hf_loop_signal *signals;
	uint8_t *read_buffer;                 /* shared: bytes are handled before the next read */
	struct hf_websocket_deflate *deflate; /* made at the first negotiation */
	struct hf_tls *client_tls;            /* trusts the system's certificates; made at first use */
	struct hf_stream_pool *pool;
	struct hf_secret_stream_pool *secret_stream_pool; /* made at the first handshake */
	struct hf_udp_host *udp_host;                     /* made at first use */
	struct hf_memory memory;
};

#endif
