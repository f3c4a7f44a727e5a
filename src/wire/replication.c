/* Each pair of functions follows a line of the specification; a part is present where its flag is. */
#include "wire/replication.h"

enum { SYNC_CAN_UPGRADE = 1, SYNC_UPLOADING = 2, SYNC_DOWNLOADING = 4, SYNC_HAS_MANIFEST = 8, SYNC_ALLOWS_PUSH = 16 };
/* Of request and data. */
enum { PART_BLOCK = 1, PART_HASH = 2, PART_SEEK = 4, PART_UPGRADE = 8, PART_MANIFEST = 16, PART_PRIORITY = 32 };
enum { HANDSHAKE_SEEKS = 1, NO_DATA_HAS_REASON = 1, WANT_ANY = 1, RANGE_DROP = 1, RANGE_OF_ONE = 2 };

/* ---- Reading ---- */

int hf_replication_read_handshake(struct hf_slice body, struct hf_replication_handshake *out)
{
	struct hf_compact_reader in = hf_compact_reader(body);
	uint64_t flags = hf_compact_read_uint(&in);
	const uint8_t *capability = hf_compact_read_fixed(&in, sizeof out->capability);

	out->seeks = (flags & HANDSHAKE_SEEKS) != 0;
	if (capability != NULL)
		memcpy(out->capability, capability, sizeof out->capability);
	return in.status;
}

int hf_replication_read_sync(struct hf_slice body, struct hf_replication_sync *out)
{
	struct hf_compact_reader in = hf_compact_reader(body);
	uint64_t flags = hf_compact_read_uint(&in);

	out->fork = hf_compact_read_uint(&in);
	out->length = hf_compact_read_uint(&in);
	out->remote_length = hf_compact_read_uint(&in);
	out->can_upgrade = (flags & SYNC_CAN_UPGRADE) != 0;
	out->is_uploading = (flags & SYNC_UPLOADING) != 0;
	out->is_downloading = (flags & SYNC_DOWNLOADING) != 0;
	out->has_manifest = (flags & SYNC_HAS_MANIFEST) != 0;
	out->allows_push = (flags & SYNC_ALLOWS_PUSH) != 0;
	return in.status;
}

int hf_replication_read_request(struct hf_slice body, struct hf_replication_request *out)
{
	struct hf_compact_reader in = hf_compact_reader(body);
	struct hf_proof_request *proof = &out->proof;
	uint64_t flags = hf_compact_read_uint(&in);

	*out = (struct hf_replication_request){0};
	out->id = hf_compact_read_uint(&in);
	out->fork = hf_compact_read_uint(&in);
	proof->has_block = (flags & PART_BLOCK) != 0;
	proof->has_hash = (flags & PART_HASH) != 0;
	proof->has_seek = (flags & PART_SEEK) != 0;
	proof->has_upgrade = (flags & PART_UPGRADE) != 0;
	proof->wants_manifest = (flags & PART_MANIFEST) != 0;
	if (proof->has_block) {
		proof->block.index = hf_compact_read_uint(&in);
		proof->block.nodes = hf_compact_read_uint(&in);
	}
	if (proof->has_hash) {
		proof->hash.index = hf_compact_read_uint(&in);
		proof->hash.nodes = hf_compact_read_uint(&in);
	}
	if (proof->has_seek) {
		proof->seek.bytes = hf_compact_read_uint(&in);
		proof->seek.padding = hf_compact_read_uint(&in);
	}
	if (proof->has_upgrade) {
		proof->upgrade.start = hf_compact_read_uint(&in);
		proof->upgrade.length = hf_compact_read_uint(&in);
	}
	if ((flags & PART_PRIORITY) != 0)
		out->priority = hf_compact_read_uint(&in);
	return in.status;
}

int hf_replication_read_cancel(struct hf_slice body, struct hf_replication_cancel *out)
{
	struct hf_compact_reader in = hf_compact_reader(body);

	out->request = hf_compact_read_uint(&in);
	return in.status;
}

static void read_proof_parts(struct hf_compact_reader *in, struct hf_proof *proof)
{
	if (proof->has_block) {
		proof->block.index = hf_compact_read_uint(in);
		proof->block.value = hf_compact_read_buffer(in);
		proof->block.nodes = hf_node_list_read(in);
	}
	if (proof->has_hash) {
		proof->hash.index = hf_compact_read_uint(in);
		proof->hash.nodes = hf_node_list_read(in);
	}
	if (proof->has_seek) {
		proof->seek.bytes = hf_compact_read_uint(in);
		proof->seek.nodes = hf_node_list_read(in);
	}
	if (proof->has_upgrade) {
		proof->upgrade.start = hf_compact_read_uint(in);
		proof->upgrade.length = hf_compact_read_uint(in);
		proof->upgrade.nodes = hf_node_list_read(in);
		proof->upgrade.additional_nodes = hf_node_list_read(in);
		proof->upgrade.signature = hf_compact_read_buffer(in);
	}
}

int hf_replication_read_data(struct hf_slice body, struct hf_replication_data *out)
{
	struct hf_compact_reader in = hf_compact_reader(body);
	struct hf_proof *proof = &out->proof;
	uint64_t flags = hf_compact_read_uint(&in);

	*out = (struct hf_replication_data){0};
	out->request = hf_compact_read_uint(&in);
	proof->fork = hf_compact_read_uint(&in);
	proof->has_block = (flags & PART_BLOCK) != 0;
	proof->has_hash = (flags & PART_HASH) != 0;
	proof->has_seek = (flags & PART_SEEK) != 0;
	proof->has_upgrade = (flags & PART_UPGRADE) != 0;
	proof->has_manifest = (flags & PART_MANIFEST) != 0;
	read_proof_parts(&in, proof);
	if (proof->has_manifest) {
		proof->manifest = hf_compact_read_raw(&in);
		if (proof->manifest.length == 0)
			hf_compact_fail(&in, HF_EMALFORMED);
	}
	return in.status;
}

int hf_replication_read_no_data(struct hf_slice body, struct hf_replication_no_data *out)
{
	struct hf_compact_reader in = hf_compact_reader(body);

	out->request = hf_compact_read_uint(&in);
	uint64_t flags = hf_compact_left(&in) > 0 ? hf_compact_read_uint(&in) : 0; /* old peers leave it out */

	out->reason = (flags & NO_DATA_HAS_REASON) != 0 ? hf_compact_read_uint(&in) : HF_REPLICATION_NO_REASON;
	return in.status;
}

int hf_replication_read_want(struct hf_slice body, struct hf_replication_want *out)
{
	struct hf_compact_reader in = hf_compact_reader(body);

	out->start = hf_compact_read_uint(&in);
	out->length = hf_compact_read_uint(&in);
	uint64_t flags = hf_compact_left(&in) > 0 ? hf_compact_read_uint(&in) : 0;

	out->any = (flags & WANT_ANY) != 0;
	return in.status;
}

int hf_replication_read_bitfield(struct hf_slice body, struct hf_replication_bitfield *out)
{
	struct hf_compact_reader in = hf_compact_reader(body);

	out->start = hf_compact_read_uint(&in);
	size_t count = hf_compact_read_count(&in, HF_REPLICATION_BITFIELD_WORDS_MAX, sizeof(uint32_t));

	if (out->start % 32 != 0)
		hf_compact_fail(&in, HF_EMALFORMED);
	const uint8_t *words = hf_compact_read_fixed(&in, count * sizeof(uint32_t));

	out->words = hf_slice(words, words != NULL ? count * sizeof(uint32_t) : 0);
	return in.status;
}

int hf_replication_read_range(struct hf_slice body, struct hf_replication_range *out)
{
	struct hf_compact_reader in = hf_compact_reader(body);
	uint64_t flags = hf_compact_read_uint(&in);

	out->drop = (flags & RANGE_DROP) != 0;
	out->start = hf_compact_read_uint(&in);
	out->length = (flags & RANGE_OF_ONE) != 0 ? 1 : hf_compact_read_uint(&in);
	return in.status;
}

int hf_replication_read_extension(struct hf_slice body, struct hf_replication_extension *out)
{
	struct hf_compact_reader in = hf_compact_reader(body);

	out->name = hf_compact_read_buffer(&in);
	if (out->name.length > HF_REPLICATION_EXTENSION_NAME_BYTES_MAX)
		hf_compact_fail(&in, HF_ETOOBIG);
	out->message = hf_compact_read_raw(&in);
	return in.status;
}

/* ---- Writing ---- */

void hf_replication_write_handshake(struct hf_compact_writer *out, const struct hf_replication_handshake *in)
{
	hf_compact_write_uint(out, in->seeks ? HANDSHAKE_SEEKS : 0);
	hf_compact_write_fixed(out, in->capability, sizeof in->capability);
}

void hf_replication_write_sync(struct hf_compact_writer *out, const struct hf_replication_sync *in)
{
	hf_compact_write_uint(out, (in->can_upgrade ? SYNC_CAN_UPGRADE : 0) | (in->is_uploading ? SYNC_UPLOADING : 0) |
		(in->is_downloading ? SYNC_DOWNLOADING : 0) | (in->has_manifest ? SYNC_HAS_MANIFEST : 0) |
		(in->allows_push ? SYNC_ALLOWS_PUSH : 0));
	hf_compact_write_uint(out, in->fork);
	hf_compact_write_uint(out, in->length);
	hf_compact_write_uint(out, in->remote_length);
}

void hf_replication_write_request(struct hf_compact_writer *out, const struct hf_replication_request *in)
{
	const struct hf_proof_request *proof = &in->proof;

	hf_compact_write_uint(out, (proof->has_block ? PART_BLOCK : 0) | (proof->has_hash ? PART_HASH : 0) |
		(proof->has_seek ? PART_SEEK : 0) | (proof->has_upgrade ? PART_UPGRADE : 0) |
		(proof->wants_manifest ? PART_MANIFEST : 0) | (in->priority != 0 ? PART_PRIORITY : 0));
	hf_compact_write_uint(out, in->id);
	hf_compact_write_uint(out, in->fork);
	if (proof->has_block) {
		hf_compact_write_uint(out, proof->block.index);
		hf_compact_write_uint(out, proof->block.nodes);
	}
	if (proof->has_hash) {
		hf_compact_write_uint(out, proof->hash.index);
		hf_compact_write_uint(out, proof->hash.nodes);
	}
	if (proof->has_seek) {
		hf_compact_write_uint(out, proof->seek.bytes);
		hf_compact_write_uint(out, proof->seek.padding);
	}
	if (proof->has_upgrade) {
		hf_compact_write_uint(out, proof->upgrade.start);
		hf_compact_write_uint(out, proof->upgrade.length);
	}
	if (in->priority != 0)
		hf_compact_write_uint(out, in->priority);
}

void hf_replication_write_cancel(struct hf_compact_writer *out, const struct hf_replication_cancel *in)
{
	hf_compact_write_uint(out, in->request);
}

/* Up to the block's value, whose length comes last. */
static void write_data_head(struct hf_compact_writer *out, const struct hf_replication_data *in)
{
	const struct hf_proof *proof = &in->proof;

	hf_compact_write_uint(out, (proof->has_block ? PART_BLOCK : 0) | (proof->has_hash ? PART_HASH : 0) |
		(proof->has_seek ? PART_SEEK : 0) | (proof->has_upgrade ? PART_UPGRADE : 0) |
		(proof->has_manifest ? PART_MANIFEST : 0));
	hf_compact_write_uint(out, in->request);
	hf_compact_write_uint(out, proof->fork);
	if (proof->has_block) {
		hf_compact_write_uint(out, proof->block.index);
		hf_compact_write_uint(out, proof->block.value.length);
	}
}

static void write_data_tail(struct hf_compact_writer *out, const struct hf_proof *proof)
{
	if (proof->has_block)
		hf_node_list_write(out, &proof->block.nodes);
	if (proof->has_hash) {
		hf_compact_write_uint(out, proof->hash.index);
		hf_node_list_write(out, &proof->hash.nodes);
	}
	if (proof->has_seek) {
		hf_compact_write_uint(out, proof->seek.bytes);
		hf_node_list_write(out, &proof->seek.nodes);
	}
	if (proof->has_upgrade) {
		hf_compact_write_uint(out, proof->upgrade.start);
		hf_compact_write_uint(out, proof->upgrade.length);
		hf_node_list_write(out, &proof->upgrade.nodes);
		hf_node_list_write(out, &proof->upgrade.additional_nodes);
		hf_compact_write_buffer(out, proof->upgrade.signature);
	}
	if (proof->has_manifest)
		hf_compact_write_fixed(out, proof->manifest.data, proof->manifest.length);
}

void hf_replication_write_data(struct hf_compact_writer *out, const struct hf_replication_data *in)
{
	write_data_head(out, in);
	if (in->proof.has_block)
		hf_compact_write_fixed(out, in->proof.block.value.data, in->proof.block.value.length);
	write_data_tail(out, &in->proof);
}

int hf_replication_data_parts(const struct hf_replication_data *in, struct hf_buffer *scratch,
	struct iovec parts[static HF_REPLICATION_DATA_PARTS])
{
	struct hf_compact_writer out = hf_compact_writer(scratch);
	size_t start = scratch->length, middle;

	write_data_head(&out, in);
	middle = scratch->length;
	write_data_tail(&out, &in->proof);
	if (out.status != HF_OK)
		return out.status;
	if (!in->proof.has_block) {
		parts[0] = (struct iovec){scratch->data + start, scratch->length - start};
		return 1;
	}
	parts[0] = (struct iovec){scratch->data + start, middle - start};
	parts[1] = (struct iovec){(void *)in->proof.block.value.data, in->proof.block.value.length};
	parts[2] = (struct iovec){scratch->data + middle, scratch->length - middle};
	return 3;
}

void hf_replication_write_no_data(struct hf_compact_writer *out, const struct hf_replication_no_data *in)
{
	hf_compact_write_uint(out, in->request);
	hf_compact_write_uint(out, in->reason != HF_REPLICATION_NO_REASON ? NO_DATA_HAS_REASON : 0);
	if (in->reason != HF_REPLICATION_NO_REASON)
		hf_compact_write_uint(out, in->reason);
}

void hf_replication_write_want(struct hf_compact_writer *out, const struct hf_replication_want *in)
{
	hf_compact_write_uint(out, in->start);
	hf_compact_write_uint(out, in->length);
	if (in->any)
		hf_compact_write_uint(out, WANT_ANY);
}

void hf_replication_write_bitfield(struct hf_compact_writer *out, const struct hf_replication_bitfield *in)
{
	hf_compact_write_uint(out, in->start);
	hf_compact_write_uint(out, in->words.length / sizeof(uint32_t));
	hf_compact_write_fixed(out, in->words.data, in->words.length);
}

void hf_replication_write_range(struct hf_compact_writer *out, const struct hf_replication_range *in)
{
	hf_compact_write_uint(out, (in->drop ? RANGE_DROP : 0) | (in->length == 1 ? RANGE_OF_ONE : 0));
	hf_compact_write_uint(out, in->start);
	if (in->length != 1)
		hf_compact_write_uint(out, in->length);
}

void hf_replication_write_extension(struct hf_compact_writer *out, const struct hf_replication_extension *in)
{
	hf_compact_write_buffer(out, in->name);
	hf_compact_write_fixed(out, in->message.data, in->message.length);
}
