#include "forged_remote.h"

struct hf_core *writers[HISTORIES], *served, *reader;
struct hf_replicator *replicator;
const uint8_t *input, *input_end;
static const uint8_t hash[HF_HANDSHAKE_HASH_BYTES] = {1, 2, 3};

/* ---- The input ---- */

uint8_t byte(void)
{
	return input < input_end ? *input++ : 0;
}

uint64_t number(uint64_t usual)
{
	uint8_t first = byte();
	uint64_t value = 0;

	if (first < 224)
		return first % (usual + 3);
	for (unsigned i = 0; i < (first & 7u); i++)
		value = value << 8 | byte();
	return value & HF_COMPACT_UINT_MAX;
}

/* ---- Remotes ---- */

static int put_letter(struct hf_buffer *letters, const struct iovec *parts, int count)
{
	size_t at = letters->length;

	FUZZ_CHECK(hf_buffer_append(letters, "\0\0\0", 4) == HF_OK);
	for (int i = 0; i < count; i++)
		FUZZ_CHECK(hf_buffer_append(letters, parts[i].iov_base, parts[i].iov_len) == HF_OK);
	hf_store_le32(letters->data + at, (uint32_t)(letters->length - at - 4));
	FUZZ_CHECK(letters->length < (64u << 20));
	return HF_OK;
}

static int send_to_us(void *owner, const struct iovec *parts, int count)
{
	return put_letter(&((struct remote *)owner)->to_us, parts, count);
}

static int send_to_them(void *owner, const struct iovec *parts, int count)
{
	struct remote *remote = owner;

	return remote->cannot_send ? HF_EIO : put_letter(&remote->to_them, parts, count);
}

static bool is_never_congested(void *owner)
{
	(void)owner;
	return false;
}

static bool is_congested(void *owner)
{
	return ((struct remote *)owner)->is_congested;
}

static void on_error(void *owner, const struct hf_failure *failure)
{
	(void)failure;
	((struct remote *)owner)->has_failed = true;
}

void carry(struct remote *remote)
{
	struct hf_buffer letters;

	for (int way = 0; way < 2; way++) {
		struct hf_buffer *from = way == 0 ? &remote->to_us : &remote->to_them;

		letters = *from;
		*from = (struct hf_buffer){0};
		for (size_t at = 0; at < letters.length;) {
			uint32_t length = hf_load_le32(letters.data + at);

			if (way == 0 ? !remote->has_failed : true)
				hf_protomux_recv(way == 0 ? remote->ours : remote->mux, hf_slice(letters.data + at + 4, length));
			at += 4 + length;
		}
		hf_buffer_free(&letters);
	}
}

static int on_remote_message(struct hf_channel *channel, void *context, uint32_t type, struct hf_slice body)
{
	struct remote *remote = context;

	if (type == HF_REPLICATION_REQUEST && channel == remote->channels[READ] && remote->asked_count < ASKED_MAX &&
		hf_replication_read_request(body, &remote->asked[remote->asked_count]) == HF_OK)
		remote->asked_count++;
	return HF_OK;
}

static void on_remote_close(struct hf_channel *channel, void *context, enum hf_channel_end end)
{
	struct remote *remote = context;

	(void)end;
	for (int i = 0; i < CHANNELS; i++)
		if (remote->channels[i] == channel)
			remote->channels[i] = NULL;
}

void open_channel(struct remote *remote, int which, bool lies)
{
	static const struct hf_channel_events events = {.message_types = HF_REPLICATION_TYPES, .message = on_remote_message, .close = on_remote_close};
	struct hf_core *core = which == READ ? reader : served;
	struct hf_replication_handshake handshake = {.seeks = true};
	struct hf_buffer bytes = {0};
	struct hf_compact_writer out = hf_compact_writer(&bytes);
	struct hf_channel_options options = {.protocol = HF_SLICE_LITERAL(HF_REPLICATION_PROTOCOL),
		.id = hf_slice(hf_core_discovery_key(core), lies && byte() % 2 == 0 ? byte() % 40 % 33 : 32), .events = &events, .context = remote};

	if (remote->channels[which] != NULL)
		return;
	hf_replication_capability(handshake.capability, hash, false, hf_core_key(core));
	if (lies)
		handshake.capability[byte() % 32] ^= byte();
	hf_replication_write_handshake(&out, &handshake);
	options.handshake = hf_buffer_slice(&bytes);
	if (lies && byte() % 4 == 0)
		options.handshake.length = byte() % 33;
	if (hf_protomux_open(remote->mux, &options, &remote->channels[which]) != HF_OK)
		remote->channels[which] = NULL;
	hf_buffer_free(&bytes);
}

void connect_remote(struct remote *remote)
{
	static const struct hf_protomux_events their_events = {.send = send_to_us, .is_congested = is_never_congested, .error = on_error};
	static const struct hf_protomux_events our_events = {.send = send_to_them, .is_congested = is_congested, .error = on_error};
	struct hf_replicator_stream_options options = {.is_initiator = true, .handshake_hash = hash};

	*remote = (struct remote){0};
	FUZZ_CHECK(hf_protomux_new(&their_events, remote, 1, NULL, &remote->mux) == HF_OK);
	FUZZ_CHECK(hf_protomux_new(&our_events, remote, 2, NULL, &remote->ours) == HF_OK);
	options.mux = remote->ours;
	FUZZ_CHECK(hf_replicator_attach(replicator, &options, &remote->stream) == HF_OK);
	open_channel(remote, SERVED, false);
	open_channel(remote, READ, false);
}

void disconnect_remote(struct remote *remote)
{
	hf_replicator_detach(remote->stream);
	hf_protomux_free(remote->ours);
	hf_protomux_free(remote->mux);
	hf_buffer_free(&remote->to_us);
	hf_buffer_free(&remote->to_them);
}

void congest(struct remote *remote)
{
	uint8_t how = byte();

	remote->is_congested = how % 4 == 1;
	if (!remote->is_congested && !remote->has_failed)
		hf_protomux_drained(remote->ours);
	if (how == 255)
		remote->cannot_send = true;
}

/* ---- What they say ---- */

/* Up to three bytes of it changed, or its end cut off. */
static void say(struct remote *remote, int which, uint32_t type, struct hf_buffer *body)
{
	uint8_t changes = byte();
	struct iovec part;

	for (unsigned i = 0; i < (changes & 3u) && changes < 128 && body->length > 0; i++)
		body->data[(byte() | byte() << 8) % body->length] ^= byte();
	part = (struct iovec){body->data, changes == 64 && body->length > 0 ? byte() % body->length : body->length};
	if (remote->channels[which] != NULL)
		hf_channel_send(remote->channels[which], type, &part, 1);
	hf_buffer_free(body);
}

static void draw_request(struct hf_replication_request *request)
{
	uint8_t flags = byte();

	*request = (struct hf_replication_request){.id = number(5), .fork = number(1), .priority = flags >> 7};
	request->proof.has_block = flags & 1;
	request->proof.block.index = number(BLOCKS);
	request->proof.block.nodes = number(5);
	request->proof.has_hash = !request->proof.has_block && flags & 2;
	request->proof.hash.index = number(2 * BLOCKS);
	request->proof.hash.nodes = number(5);
	request->proof.has_seek = flags & 4;
	request->proof.seek.bytes = number(250);
	request->proof.has_upgrade = flags & 8;
	request->proof.upgrade.start = number(BLOCKS);
	request->proof.upgrade.length = number(BLOCKS);
	request->proof.wants_manifest = flags & 16;
}

void say_data(struct remote *remote, bool is_asked)
{
	uint8_t which = byte();
	struct hf_core *writer = writers[which % HISTORIES];
	struct hf_replication_data data = {.request = which & 32 ? 0 : 1};
	struct hf_replication_request request;
	struct hf_buffer bytes = {0}, body = {0};
	struct hf_compact_writer out = hf_compact_writer(&body);

	if (is_asked && remote->asked_count > 0) {
		size_t i = which / HISTORIES % remote->asked_count;

		request = remote->asked[i];
		remote->asked[i] = remote->asked[--remote->asked_count];
		data.request = request.id;
	} else {
		draw_request(&request);
		if (which & 64)
			data.request = request.id;
	}
	if (hf_core_prove(writer, hf_core_fork(writer), &request.proof, &bytes, &data.proof) == HF_OK) {
		if (which & 128)
			data.proof.fork = request.fork;
		hf_replication_write_data(&out, &data);
		say(remote, READ, HF_REPLICATION_DATA, &body);
	}
	hf_buffer_free(&bytes);
	hf_buffer_free(&body);
}

void say_sync(struct remote *remote, int which)
{
	uint8_t flags = byte();
	const struct hf_core *writer = writers[flags / 64 % HISTORIES];
	struct hf_replication_sync sync = {.can_upgrade = !(flags & 1), .is_uploading = !(flags & 2), .is_downloading = !(flags & 4),
		.has_manifest = !(flags & 8), .fork = hf_core_fork(writer), .length = hf_core_length(writer)};
	struct hf_buffer body = {0};
	struct hf_compact_writer out = hf_compact_writer(&body);

	sync.remote_length = hf_core_length(which == READ ? reader : served);
	if (flags & 16)
		sync.length = number(BLOCKS);
	if (flags & 32) {
		sync.fork = number(2);
		sync.remote_length = number(BLOCKS);
	}
	hf_replication_write_sync(&out, &sync);
	say(remote, which, HF_REPLICATION_SYNC, &body);
}

void say_other(struct remote *remote, int which, unsigned kind)
{
	struct hf_buffer body = {0};
	struct hf_compact_writer out = hf_compact_writer(&body);
	struct hf_replication_request request;
	uint8_t words[40];
	uint64_t unit = (uint64_t)1 << (byte() % 22);

	switch (kind) {
	case RANGE:
		hf_replication_write_range(&out, &(struct hf_replication_range){.drop = byte() % 3 == 0, .start = number(BLOCKS), .length = number(BLOCKS)});
		say(remote, which, HF_REPLICATION_RANGE, &body);
		return;
	case REQUEST:
		draw_request(&request);
		hf_replication_write_request(&out, &request);
		say(remote, which, HF_REPLICATION_REQUEST, &body);
		return;
	case WANT:
		hf_replication_write_want(&out, &(struct hf_replication_want){.start = number(2) * unit, .length = byte() % 4 ? unit : number(64),
			.any = byte() % 5 == 0});
		say(remote, which, byte() % 4 ? HF_REPLICATION_WANT : HF_REPLICATION_UNWANT, &body);
		return;
	case BITFIELD:
		for (size_t i = 0; i < sizeof words; i++)
			words[i] = byte();
		hf_replication_write_bitfield(&out, &(struct hf_replication_bitfield){.start = 32 * number(3), .words = hf_slice(words, byte() % 10 * 4)});
		say(remote, which, HF_REPLICATION_BITFIELD, &body);
		return;
	case NO_DATA:
		hf_replication_write_no_data(&out, &(struct hf_replication_no_data){.request = number(40), .reason = byte() % 3});
		say(remote, which, HF_REPLICATION_NO_DATA, &body);
		return;
	case CANCEL:
		hf_replication_write_cancel(&out, &(struct hf_replication_cancel){.request = number(5)});
		say(remote, which, HF_REPLICATION_CANCEL, &body);
		return;
	default:
		hf_replication_write_extension(&out, &(struct hf_replication_extension){.name = byte() % 2 ? HF_SLICE_LITERAL("echo") : hf_slice("", 0),
			.message = HF_SLICE_LITERAL("hello")});
		say(remote, which, HF_REPLICATION_EXTENSION, &body);
	}
}

void say_raw(struct remote *remote, int which, bool is_message)
{
	struct hf_buffer body = {0};
	uint8_t length = byte(), type = byte();

	for (unsigned i = 0; i < length && input < input_end; i++)
		FUZZ_CHECK(hf_buffer_append(&body, input++, 1) == HF_OK);
	if (is_message) {
		say(remote, which, type % (HF_REPLICATION_TYPES + 1), &body);
		return;
	}
	put_letter(&remote->to_us, &(struct iovec){body.data, body.length}, 1);
	hf_buffer_free(&body);
}
