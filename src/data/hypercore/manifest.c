#include "data/hypercore/manifest.h"

#include "crypto/hash.h"

enum { FLAG_PATCH = 1, FLAG_PROLOGUE = 2, FLAG_LINKED = 4, FLAG_USER_DATA = 8 };
enum { V0_STATIC = 0, V0_SINGLE = 1, V0_GENERAL = 2 };

#define KEY_BYTES 32

/* Blake2b and Ed25519, the only hash and the only signature, are both written 0. */
static void read_kind(struct hf_compact_reader *in)
{
	if (hf_compact_read_uint(in) != 0)
		hf_compact_fail(in, HF_EVERSION);
}

static void read_signer(struct hf_compact_reader *in, struct hf_manifest_signer *out)
{
	read_kind(in);
	out->signer_namespace = hf_compact_read_fixed(in, HF_NAMESPACE_BYTES);
	out->public_key = hf_compact_read_fixed(in, KEY_BYTES);
}

static void read_signers(struct hf_compact_reader *in, struct hf_manifest *out, size_t count)
{
	struct hf_manifest_signer signer;
	const uint8_t *start = in->at;

	for (size_t i = 0; i < count; i++)
		read_signer(in, &signer);
	if (in->status != HF_OK)
		return;
	out->signers = hf_slice(start, (size_t)(in->at - start));
	out->signer_count = (uint32_t)count;
}

static void read_signer_array(struct hf_compact_reader *in, struct hf_manifest *out)
{
	read_signers(in, out, hf_compact_read_count(in, HF_MANIFEST_SIGNERS_MAX, HF_MANIFEST_SIGNER_BYTES));
}

static void read_prologue_hash(struct hf_compact_reader *in, struct hf_manifest *out)
{
	const uint8_t *hash = hf_compact_read_fixed(in, sizeof out->prologue.hash);

	out->has_prologue = true;
	if (hash != NULL)
		memcpy(out->prologue.hash, hash, sizeof out->prologue.hash);
}

static void read_version_0(struct hf_compact_reader *in, struct hf_manifest *out)
{
	read_kind(in);
	switch (hf_compact_read_uint(in)) {
	case V0_STATIC:
		read_prologue_hash(in, out);
		break;
	case V0_SINGLE:
		out->quorum = 1;
		read_signers(in, out, 1);
		break;
	case V0_GENERAL:
		out->allow_patch = (hf_compact_read_uint(in) & FLAG_PATCH) != 0;
		out->quorum = hf_compact_read_uint(in);
		read_signer_array(in, out);
		break;
	default:
		hf_compact_fail(in, HF_EVERSION);
	}
}

static void read_linked(struct hf_compact_reader *in, struct hf_manifest *out)
{
	size_t count = hf_compact_read_count(in, HF_MANIFEST_LINKED_MAX, KEY_BYTES);

	out->has_linked = true;
	out->linked = hf_slice(hf_compact_read_fixed(in, count * KEY_BYTES), count * KEY_BYTES);
	out->linked_count = (uint32_t)count;
}

static void read_version_1(struct hf_compact_reader *in, struct hf_manifest *out)
{
	uint64_t flags = hf_compact_read_uint(in);

	read_kind(in);
	out->allow_patch = (flags & FLAG_PATCH) != 0;
	out->quorum = hf_compact_read_uint(in);
	read_signer_array(in, out);
	if ((flags & FLAG_PROLOGUE) != 0) {
		read_prologue_hash(in, out);
		out->prologue.length = hf_compact_read_uint(in);
	}
	if ((flags & (FLAG_LINKED | FLAG_USER_DATA)) != 0 && out->version < 2)
		hf_compact_fail(in, HF_EMALFORMED);
	if ((flags & FLAG_LINKED) != 0)
		read_linked(in, out);
	if ((flags & FLAG_USER_DATA) != 0) {
		out->has_user_data = true;
		out->user_data = hf_compact_read_buffer(in);
		if (out->user_data.length > HF_MANIFEST_USER_DATA_BYTES_MAX)
			hf_compact_fail(in, HF_ETOOBIG);
	}
}

void hf_manifest_read(struct hf_compact_reader *in, struct hf_manifest *out)
{
	uint64_t version = hf_compact_read_uint(in);

	*out = (struct hf_manifest){.version = (uint32_t)version};
	if (version > HF_MANIFEST_VERSION_MAX)
		hf_compact_fail(in, HF_EVERSION);
	else if (version == 0)
		read_version_0(in, out);
	else
		read_version_1(in, out);
}

int hf_manifest_decode(struct hf_manifest *out, struct hf_slice encoded)
{
	struct hf_compact_reader in = hf_compact_reader(encoded);

	hf_manifest_read(&in, out);
	return in.status;
}

bool hf_manifest_signer(const struct hf_manifest *manifest, uint64_t number, struct hf_manifest_signer *out)
{
	struct hf_compact_reader in = hf_compact_reader(manifest->signers);

	if (number >= manifest->signer_count)
		return false;
	for (uint64_t i = 0; i <= number; i++)
		read_signer(&in, out);
	return in.status == HF_OK;
}

static void write_signers(struct hf_compact_writer *out, const struct hf_manifest *manifest)
{
	struct hf_compact_reader in = hf_compact_reader(manifest->signers);

	for (uint32_t i = 0; i < manifest->signer_count; i++) {
		struct hf_manifest_signer signer;

		read_signer(&in, &signer);
		if (in.status != HF_OK) {
			out->status = HF_EINVAL;
			return;
		}
		hf_compact_write_uint(out, 0);
		hf_compact_write_fixed(out, signer.signer_namespace, HF_NAMESPACE_BYTES);
		hf_compact_write_fixed(out, signer.public_key, KEY_BYTES);
	}
}

static void write_version_0(struct hf_compact_writer *out, const struct hf_manifest *manifest)
{
	bool is_static = manifest->has_prologue && manifest->signer_count == 0;
	bool is_single = manifest->quorum == 1 && manifest->signer_count == 1 && !manifest->allow_patch;

	hf_compact_write_uint(out, 0);
	if (is_static) {
		hf_compact_write_uint(out, V0_STATIC);
		hf_compact_write_fixed(out, manifest->prologue.hash, sizeof manifest->prologue.hash);
		return;
	}
	if (manifest->has_prologue) {
		out->status = HF_EINVAL;
		return;
	}
	hf_compact_write_uint(out, is_single ? V0_SINGLE : V0_GENERAL);
	if (!is_single) {
		hf_compact_write_uint(out, manifest->allow_patch ? FLAG_PATCH : 0);
		hf_compact_write_uint(out, manifest->quorum);
		hf_compact_write_uint(out, manifest->signer_count);
	}
	write_signers(out, manifest);
}

static void write_version_1(struct hf_compact_writer *out, const struct hf_manifest *manifest)
{
	hf_compact_write_uint(out, (manifest->allow_patch ? FLAG_PATCH : 0) | (manifest->has_prologue ? FLAG_PROLOGUE : 0)
		| (manifest->has_linked ? FLAG_LINKED : 0) | (manifest->has_user_data ? FLAG_USER_DATA : 0));
	hf_compact_write_uint(out, 0);
	hf_compact_write_uint(out, manifest->quorum);
	hf_compact_write_uint(out, manifest->signer_count);
	write_signers(out, manifest);
	if (manifest->has_prologue) {
		hf_compact_write_fixed(out, manifest->prologue.hash, sizeof manifest->prologue.hash);
		hf_compact_write_uint(out, manifest->prologue.length);
	}
	if (manifest->has_linked) {
		hf_compact_write_uint(out, manifest->linked_count);
		hf_compact_write_fixed(out, manifest->linked.data, manifest->linked.length);
	}
	if (manifest->has_user_data)
		hf_compact_write_buffer(out, manifest->user_data);
}

int hf_manifest_encode(const struct hf_manifest *manifest, struct hf_buffer *out)
{
	struct hf_compact_writer writer = hf_compact_writer(out);
	size_t before = out->length;

	if (manifest->version > HF_MANIFEST_VERSION_MAX || manifest->linked.length != manifest->linked_count * (size_t)KEY_BYTES
		|| (manifest->version < 2 && (manifest->has_linked || manifest->has_user_data)))
		return HF_EINVAL;
	hf_compact_write_uint(&writer, manifest->version);
	if (manifest->version == 0)
		write_version_0(&writer, manifest);
	else
		write_version_1(&writer, manifest);
	if (writer.status != HF_OK)
		out->length = before;
	return writer.status;
}

int hf_manifest_signer_write(struct hf_buffer *signers, const uint8_t signer_namespace[static 32], const uint8_t public_key[static 32])
{
	struct hf_compact_writer out = hf_compact_writer(signers);

	hf_compact_write_uint(&out, 0);
	hf_compact_write_fixed(&out, signer_namespace, HF_NAMESPACE_BYTES);
	hf_compact_write_fixed(&out, public_key, KEY_BYTES);
	return out.status;
}

int hf_manifest_key(const struct hf_manifest *manifest, uint8_t key[static HF_CORE_KEY_BYTES])
{
	struct hf_buffer encoded = {0};
	struct hf_blake2b hash;
	int status = hf_manifest_encode(manifest, &encoded);

	if (status == HF_OK) {
		hf_blake2b_init(&hash, HF_CORE_KEY_BYTES, hf_slice(NULL, 0));
		hf_blake2b_update(&hash, hf_namespaces[HF_NAMESPACE_MANIFEST], HF_NAMESPACE_BYTES);
		hf_blake2b_update(&hash, encoded.data, encoded.length);
		hf_blake2b_final(&hash, key, HF_CORE_KEY_BYTES);
	}
	hf_buffer_free(&encoded);
	return status;
}

void hf_manifest_default(struct hf_manifest *out, uint8_t bytes[static HF_MANIFEST_DEFAULT_BYTES], const uint8_t public_key[static 32])
{
	static const uint8_t head[] = {1, 0, 0, 1, 1, 0}; /* version, flags, hash, quorum, signers, kind of the signer */

	memcpy(bytes, head, sizeof head);
	memcpy(bytes + sizeof head, hf_namespaces[HF_NAMESPACE_DEFAULT], HF_NAMESPACE_BYTES);
	memcpy(bytes + sizeof head + HF_NAMESPACE_BYTES, public_key, KEY_BYTES);
	hf_manifest_decode(out, hf_slice(bytes, HF_MANIFEST_DEFAULT_BYTES));
}

bool hf_manifest_is_compat(const struct hf_manifest *manifest, const uint8_t key[static HF_CORE_KEY_BYTES])
{
	struct hf_manifest_signer signer;

	return manifest->signer_count == 1 && hf_manifest_signer(manifest, 0, &signer) && memcmp(signer.public_key, key, KEY_BYTES) == 0;
}

int hf_manifest_of_key(struct hf_manifest *out, const uint8_t key[static HF_CORE_KEY_BYTES], struct hf_slice encoded,
	uint8_t bytes[static HF_MANIFEST_DEFAULT_BYTES])
{
	uint8_t hashed[HF_CORE_KEY_BYTES];
	int status;

	if (encoded.data == NULL) {
		hf_manifest_default(out, bytes, key);
		return HF_OK;
	}
	status = hf_manifest_decode(out, encoded);
	if (status == HF_OK)
		status = hf_manifest_key(out, hashed);
	if (status != HF_OK)
		return status;
	return memcmp(hashed, key, sizeof hashed) == 0 ? HF_OK : HF_EBADSIG;
}
