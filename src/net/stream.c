/* Life of a stream: open, then `finish` or `close`. Both detach the owner at once; finish goes on by itself: flush,
 * shut down, read and forget what the peer still sends until it closes or LINGER_MS pass (closing with unread bytes
 * would make the kernel reset the connection and lose the last answer). The struct is freed when libuv has closed the
 * handle, and deferred work always runs before that.
 *
 * Only one uv_write is out at a time, for what the socket did not take in a uv_try_write; it ends with its callback,
 * cancelled or not, before the handle is closed, so the queue outlives it.
 */
#include "net/stream.h"

#include <netinet/tcp.h>
#include <stdlib.h>

#include "base/list.h"
#include "net/loop_private.h"
#include "net/stream_queue.h"
#include "net/tls_private.h"

#define SLICES_PER_WRITE 256
#define LINGER_MS 2000
#define PLAIN_BYTES 16384
/* As much as is encrypted ahead of the socket. */
#define CIPHER_BYTES_MAX 262144

static struct hf_stream *stream_of(void *handle)
{
	return (struct hf_stream *)handle; /* the handle is its first member */
}

static void fire_timer(struct hf_timer *timer);
static void run_flush(struct hf_loop_deferred *deferred);
static void flush(struct hf_stream *s);

/* ---- Life ---- */

static void abandon(uv_handle_t *handle)
{
	struct hf_stream *s = stream_of(handle);
	if (s->events)
		s->events->end(s->owner, HF_ECANCELED);
	hf_stream_close(s);
}

int hf_stream_new(struct hf_stream **out, struct hf_loop *loop, bool is_unix)
{
	if (loop->is_ending)
		return HF_ECLOSED;
	struct hf_stream *s = calloc(1, sizeof *s);
	if (!s)
		return HF_ENOMEM;
	int result = is_unix ? uv_pipe_init(&loop->uv, &s->uv.pipe, 0) : uv_tcp_init(&loop->uv, &s->uv.tcp);
	if (result) {
		free(s);
		return HF_ENOMEM;
	}
	s->uv.handle.data = (void *)abandon;
	s->loop = loop;
	s->is_unix = is_unix;
	s->timer.fire = fire_timer;
	s->flush.run = run_flush;
	*out = s;
	return HF_OK;
}

void hf_stream_connected(struct hf_stream *s)
{
	if (s->is_unix) {
		s->peer = (struct hf_address){.ip = {[15] = 1}};
		return;
	}
	struct sockaddr_storage name;
	int length = sizeof name;
	if (uv_tcp_getpeername(&s->uv.tcp, (struct sockaddr *)&name, &length) == 0)
		hf_address_from_sockaddr(&s->peer, (struct sockaddr *)&name);
	uv_tcp_nodelay(&s->uv.tcp, 1);
}

bool hf_stream_accept(struct hf_stream *s, uv_stream_t *listener)
{
	if (uv_accept(listener, &s->uv.stream)) {
		hf_stream_close(s);
		return false;
	}
	hf_stream_connected(s);
	if (s->is_unix || s->peer.port != 0)
		return true;
	hf_stream_close(s);
	return false;
}

int hf_stream_start_tls(struct hf_stream *s, struct hf_tls *tls, const char *host)
{
	int error = hf_tls_session_new(&s->tls, tls, host);
	if (!error && host)
		hf_loop_defer(s->loop, &s->flush); /* a client speaks first */
	return error;
}

const char *hf_stream_tls_error(const struct hf_stream *s)
{
	return s->tls ? hf_tls_session_error(s->tls) : "not TLS";
}

void hf_stream_own(struct hf_stream *s, const struct hf_stream_events *events, void *owner)
{
	s->events = events;
	s->owner = owner;
}

static void on_closed(uv_handle_t *handle)
{
	struct hf_stream *s = stream_of(handle);
	hf_loop_cancel_deferred(s->loop, &s->flush);
	hf_stream_out_free(s->out);
	hf_tls_session_free(s->tls);
	if (s->gone)
		s->gone(s);
	free(s);
}

void hf_stream_close(struct hf_stream *s)
{
	s->events = NULL;
	hf_loop_timer_cancel(s->loop, &s->timer);
	if (!uv_is_closing(&s->uv.handle))
		uv_close(&s->uv.handle, on_closed);
}

static void on_shut(uv_shutdown_t *request, int status)
{
	struct hf_stream *s = stream_of(request->handle);
	free(request);
	if (status < 0 || s->has_ended)
		hf_stream_close(s);
}

/* All was sent. */
static void shut_down(struct hf_stream *s)
{
	if (s->is_shut)
		return;
	s->is_shut = true;
	uv_shutdown_t *request = malloc(sizeof *request);
	if (!request || uv_shutdown(request, &s->uv.stream, on_shut)) {
		free(request);
		hf_stream_close(s);
	}
}

void hf_stream_finish(struct hf_stream *s)
{
	if (uv_is_closing(&s->uv.handle))
		return;
	s->events = NULL;
	if (s->is_broken) {
		hf_stream_close(s);
		return;
	}
	s->is_finishing = true;
	hf_loop_timer_set(s->loop, &s->timer, LINGER_MS);
	hf_stream_start_reading(s);
	hf_loop_defer(s->loop, &s->flush);
}

/* The socket is of no more use. */
static void fail(struct hf_stream *s, int error)
{
	if (uv_is_closing(&s->uv.handle))
		return;
	s->has_ended = true;
	s->is_broken = error != HF_ECLOSED;
	hf_stream_stop_reading(s);
	if (s->events)
		s->events->end(s->owner, error);
	else
		hf_stream_close(s);
}

static void fire_timer(struct hf_timer *timer)
{
	struct hf_stream *s = HF_CONTAINER_OF(timer, struct hf_stream, timer);
	if (s->events)
		s->events->timeout(s->owner);
	else
		hf_stream_close(s);
}

void hf_stream_set_timeout(struct hf_stream *s, uint64_t delay_ms)
{
	hf_loop_timer_set(s->loop, &s->timer, delay_ms);
}

void hf_stream_clear_timeout(struct hf_stream *s)
{
	hf_loop_timer_cancel(s->loop, &s->timer);
}

/* ---- Reading ---- */

static void lend_buffer(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
	(void)suggested;
	struct hf_stream *s = stream_of(handle);
	bool is_limited = s->read_bytes_max && s->read_bytes_max < HF_LOOP_READ_BYTES;
	*buffer = uv_buf_init((char *)s->loop->read_buffer, is_limited ? s->read_bytes_max : HF_LOOP_READ_BYTES);
}

/* Tells the other side why, if it fits: the socket is closed in a moment. */
static void send_alert(struct hf_stream *s)
{
	struct hf_buffer alert = {0};
	if ((!s->out || !s->out->in_flight_bytes) && hf_tls_session_take(s->tls, &alert) == HF_OK && alert.length > 0) {
		uv_buf_t buffer = uv_buf_init((char *)alert.data, (unsigned)alert.length);
		uv_try_write(&s->uv.stream, &buffer, 1);
	}
	hf_buffer_free(&alert);
}

/* Hands out what the ciphertext holds. */
static void read_tls(struct hf_stream *s, struct hf_slice ciphertext)
{
	uint8_t plain[PLAIN_BYTES];
	int error = hf_tls_session_recv(s->tls, ciphertext);
	size_t length = 0;
	while (!error && s->events) {
		error = hf_tls_session_read(s->tls, plain, sizeof plain, &length);
		if (error || length == 0)
			break;
		s->events->read(s->owner, plain, length);
	}
	if (uv_is_closing(&s->uv.handle))
		return;
	hf_loop_defer(s->loop, &s->flush); /* handshake, and what waited for the handshake */
	if (error == HF_EMALFORMED)
		send_alert(s);
	if (error)
		fail(s, error);
}

void hf_stream_give(struct hf_stream *s, uint8_t *data, size_t length)
{
	if (s->tls)
		read_tls(s, hf_slice(data, length));
	else if (s->events)
		s->events->read(s->owner, data, length);
}

static void on_read(uv_stream_t *handle, ssize_t length, const uv_buf_t *buffer)
{
	struct hf_stream *s = stream_of(handle);
	if (length == 0)
		return;
	if (length < 0) {
		fail(s, length == UV_EOF ? HF_ECLOSED : HF_EIO);
		return;
	}
	if (s->counters)
		hf_counter_add(&s->counters->received_bytes, (uint64_t)length);
	hf_stream_give(s, (uint8_t *)buffer->base, (size_t)length);
}

void hf_stream_start_reading(struct hf_stream *s)
{
	if (s->is_reading || s->has_ended || uv_is_closing(&s->uv.handle))
		return;
	s->is_reading = uv_read_start(&s->uv.stream, lend_buffer, on_read) == 0;
}

void hf_stream_stop_reading(struct hf_stream *s)
{
	if (!s->is_reading)
		return;
	uv_read_stop(&s->uv.stream);
	s->is_reading = false;
}

void hf_stream_acknowledge(struct hf_stream *s)
{
	uv_os_fd_t fd;
	if (!s->is_unix && uv_fileno(&s->uv.handle, &fd) == 0)
		setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int)); /* holds for a while only: the kernel turns it off again */
}

/* ---- Sending ---- */

static int open_queue(struct hf_stream *s)
{
	if (!s->out)
		s->out = hf_stream_out_new(s->loop->pool);
	hf_loop_defer(s->loop, &s->flush);
	return s->out ? HF_OK : HF_ENOMEM;
}

int hf_stream_send_copy(struct hf_stream *s, struct hf_slice bytes)
{
	int error = open_queue(s);
	return error ? error : hf_stream_out_copy(s->out, bytes);
}

int hf_stream_send_shared(struct hf_stream *s, struct hf_slice bytes, void *owner, void (*release)(void *owner))
{
	int error = open_queue(s);
	return error ? error : hf_stream_out_push(s->out, bytes, owner, release);
}

size_t hf_stream_pending_bytes(const struct hf_stream *s)
{
	return s->out ? s->out->bytes + s->out->cipher.length : 0;
}

/* Fills buffers with what goes to the socket next: plain pieces, or ciphertext. */
static unsigned next_slices(struct hf_stream *s, uv_buf_t *buffers, size_t *bytes)
{
	if (!s->tls)
		return hf_stream_out_slices(s->out, buffers, SLICES_PER_WRITE, bytes);
	*bytes = s->out->cipher.length;
	buffers[0] = uv_buf_init((char *)s->out->cipher.data, (unsigned)s->out->cipher.length);
	return *bytes ? 1 : 0;
}

static void consume(struct hf_stream *s, size_t bytes)
{
	if (s->tls)
		hf_buffer_consume(&s->out->cipher, bytes);
	else
		hf_stream_out_consume(s->out, bytes);
	if (s->counters)
		hf_counter_add(&s->counters->sent_bytes, bytes);
}

/* Encrypts what is pending, up to a bound; nothing while ciphertext is being written from the buffer. */
static int encrypt(struct hf_stream *s)
{
	int error = HF_OK;
	if (!s->out) {
		s->out = hf_stream_out_new(s->loop->pool);
		if (!s->out)
			return HF_ENOMEM;
	}
	while (!error && s->out->count && s->out->cipher.length < CIPHER_BYTES_MAX) {
		uv_buf_t piece;
		size_t bytes, accepted = 0;
		hf_stream_out_slices(s->out, &piece, 1, &bytes);
		error = hf_tls_session_write(s->tls, hf_slice(piece.base, piece.len), &accepted);
		hf_stream_out_consume(s->out, accepted);
		if (!error)
			error = hf_tls_session_take(s->tls, &s->out->cipher);
		if (accepted < bytes)
			break;
	}
	if (s->is_finishing && s->out->count == 0)
		hf_tls_session_shutdown(s->tls);
	if (!error)
		error = hf_tls_session_take(s->tls, &s->out->cipher);
	hf_stream_out_count_cipher(s->out);
	return error;
}

static void report_progress(struct hf_stream *s)
{
	if (s->events && s->events->progress)
		s->events->progress(s->owner);
}

static void on_written(uv_write_t *request, int status)
{
	struct hf_stream *s = stream_of(request->handle);
	size_t bytes = s->out->in_flight_bytes;
	s->out->in_flight_bytes = 0;
	if (status == UV_ECANCELED)
		return;
	if (status < 0) {
		fail(s, HF_EIO);
		return;
	}
	consume(s, bytes);
	flush(s);
	if (!uv_is_closing(&s->uv.handle) && s->out)
		report_progress(s);
}

static void count_write(struct hf_stream *s)
{
	if (s->counters)
		hf_counter_add(&s->counters->writes, 1);
}

/* False when the rest has to wait for the socket. */
static bool write_some(struct hf_stream *s)
{
	uv_buf_t buffers[SLICES_PER_WRITE];
	size_t bytes;
	unsigned count = next_slices(s, buffers, &bytes);
	if (count == 0)
		return false;
	int written = uv_try_write(&s->uv.stream, buffers, count);
	count_write(s);
	if (written < 0 && written != UV_EAGAIN) {
		fail(s, HF_EIO);
		return false;
	}
	if (written > 0)
		consume(s, (size_t)written);
	if (written >= 0 && (size_t)written == bytes)
		return true;
	count = next_slices(s, buffers, &bytes);
	s->out->in_flight_bytes = bytes;
	if (uv_write(&s->out->request, &s->uv.stream, buffers, count, on_written)) {
		s->out->in_flight_bytes = 0;
		fail(s, HF_ENOMEM);
	}
	return false;
}

static void all_sent(struct hf_stream *s)
{
	hf_stream_out_free(s->out);
	s->out = NULL;
	if (s->is_finishing)
		shut_down(s);
	else
		report_progress(s);
}

static void flush(struct hf_stream *s)
{
	if (uv_is_closing(&s->uv.handle) || (s->out && s->out->in_flight_bytes))
		return;
	do {
		int error = s->tls ? encrypt(s) : HF_OK;
		if (error) {
			fail(s, error);
			return;
		}
	} while (s->out && write_some(s));
	if (uv_is_closing(&s->uv.handle) || (s->out && s->out->in_flight_bytes))
		return;
	bool waits_for_handshake = s->tls && s->out && s->out->count && !hf_tls_session_is_established(s->tls);
	if (!waits_for_handshake || s->is_finishing)
		all_sent(s);
}

static void run_flush(struct hf_loop_deferred *deferred)
{
	flush(HF_CONTAINER_OF(deferred, struct hf_stream, flush));
}
