/* An answer in pieces is written into the stream's queue as it comes; its exchange stays busy until it has ended, so that the next request
 * waits. A client that does not read has the time of an idle connection to take some of what waits for it; a writer that has nothing
 * to say has as long as it likes. */
#include "net/http_private.h"

/* The last chunk. (RFC 9112, 7.1) */
static const char last_chunk[] = "0\r\n\r\n";

static void watch_reader(struct hf_http_exchange *x)
{
	size_t pending = hf_stream_pending_bytes(x->stream);
	if (pending == 0)
		hf_stream_clear_timeout(x->stream);
	else if (pending < x->last_pending_bytes)
		hf_stream_set_timeout(x->stream, x->server->options.idle_timeout_ms);
	x->last_pending_bytes = pending ? pending : SIZE_MAX;
}

int hf_http_begin(struct hf_http_exchange *x, int status, const char *content_type, uint64_t length, const char *extra_headers,
	const struct hf_http_pieces *pieces, void *context)
{
	struct hf_buffer head = {0};
	hf_http_count_status(x->server, status);
	if (!x->stream) {
		hf_http_exchange_answered(x);
		return HF_ECLOSED;
	}
	bool has_length = length != HF_HTTP_LENGTH_UNKNOWN;
	x->drops_body = !hf_http_answer_has_body(x, status);
	x->is_chunked = !has_length && !x->drops_body && hf_http_exchange_message(x)->minor_version > 0;
	if (!has_length && !x->drops_body && !x->is_chunked)
		x->keep_alive = false;
	int error = hf_http_build_head(x, &head, status, content_type, length, extra_headers);
	if (!error && x->is_chunked) {
		head.length -= 2; /* the empty line */
		error = hf_buffer_append_text(&head, "Transfer-Encoding: chunked\r\n\r\n");
	}
	if (!error)
		error = hf_stream_send_copy(x->stream, hf_buffer_slice(&head));
	hf_buffer_free(&head);
	if (error) {
		hf_http_exchange_break(x);
		hf_http_exchange_answered(x);
		return error;
	}
	x->pieces = pieces;
	x->pieces_context = context;
	x->length_left = length;
	x->is_full = false;
	x->last_pending_bytes = SIZE_MAX;
	watch_reader(x);
	return HF_OK;
}

static int write_chunk(struct hf_http_exchange *x, struct hf_slice bytes)
{
	char size[24];
	int length = snprintf(size, sizeof size, "%zx\r\n", bytes.length);
	struct hf_buffer chunk = {0};
	int error = hf_buffer_reserve(&chunk, (size_t)length + bytes.length + 2);
	if (error)
		return error;
	hf_buffer_append(&chunk, size, (size_t)length);
	hf_buffer_append(&chunk, bytes.data, bytes.length);
	hf_buffer_append(&chunk, "\r\n", 2);
	error = hf_stream_send_copy(x->stream, hf_buffer_slice(&chunk));
	hf_buffer_free(&chunk);
	return error;
}

int hf_http_write(struct hf_http_exchange *x, struct hf_slice bytes)
{
	if (x->length_left != HF_HTTP_LENGTH_UNKNOWN && bytes.length > x->length_left)
		return HF_ETOOBIG;
	if (bytes.length == 0)
		return HF_OK;
	if (!x->drops_body) {
		size_t pending = hf_stream_pending_bytes(x->stream);
		if (pending > HF_HTTP_PIECES_BYTES_MAX || bytes.length > HF_HTTP_PIECES_BYTES_MAX - pending)
			return HF_EBUSY;
		int error = x->is_chunked ? write_chunk(x, bytes) : hf_stream_send_copy(x->stream, bytes);
		if (error)
			return error;
		watch_reader(x);
	}
	if (x->length_left != HF_HTTP_LENGTH_UNKNOWN)
		x->length_left -= bytes.length;
	x->is_full |= hf_http_room(x) == 0;
	return HF_OK;
}

size_t hf_http_room(const struct hf_http_exchange *x)
{
	size_t pending = hf_stream_pending_bytes(x->stream);
	return pending < HF_HTTP_PIECES_BYTES_SOFT ? HF_HTTP_PIECES_BYTES_SOFT - pending : 0;
}

void hf_http_pieces_progress(struct hf_http_exchange *x)
{
	watch_reader(x);
	if (!x->is_full || hf_stream_pending_bytes(x->stream) > HF_HTTP_PIECES_BYTES_SOFT / 2)
		return;
	x->is_full = false;
	x->pieces->writable(x->pieces_context, x);
}

void hf_http_pieces_gone(struct hf_http_exchange *x)
{
	const struct hf_http_pieces *pieces = x->pieces;
	x->pieces = NULL;
	pieces->gone(x->pieces_context, x);
	hf_http_exchange_answered(x);
}

void hf_http_end(struct hf_http_exchange *x)
{
	bool is_short = x->length_left != HF_HTTP_LENGTH_UNKNOWN && x->length_left > 0 && !x->drops_body;
	if (is_short || (x->is_chunked && hf_stream_send_copy(x->stream, hf_slice_text(last_chunk)))) {
		hf_http_abort(x);
		return;
	}
	hf_http_exchange_answered(x);
}

void hf_http_abort(struct hf_http_exchange *x)
{
	hf_http_exchange_break(x);
	hf_http_exchange_answered(x);
}
