/* manifest: who may sign a core, and the key that follows from it. (spec: Hypercore, section 2.4)
 *
 * A decoded manifest borrows the bytes that it came from. Peers are allowed to send longer encodings than need be, so the key is
 * always taken from hf_manifest_encode's bytes.
 */
#ifndef HF_DATA_HYPERCORE_MANIFEST_H
#define HF_DATA_HYPERCORE_MANIFEST_H

#include "codec/compact.h"
#include "crypto/namespace.h"

#define HF_MANIFEST_VERSION_MAX 3
#define HF_MANIFEST_SIGNERS_MAX 255
#define HF_MANIFEST_LINKED_MAX 255
#define HF_MANIFEST_USER_DATA_BYTES_MAX 65536
#define HF_MANIFEST_BYTES_MAX (128 * 1024) /* encoded: more than all of the above */
#define HF_MANIFEST_SIGNER_BYTES 65        /* as we write it */
#define HF_MANIFEST_DEFAULT_BYTES 70       /* version 1, one signer */

struct hf_manifest_signer {
	const uint8_t *signer_namespace; /* 32 bytes */
	const uint8_t *public_key;       /* 32 bytes, Ed25519 */
};

/* Zero-initialised: version 0 without anybody. */
struct hf_manifest {
	uint32_t version;
	uint32_t signer_count, linked_count;
	bool allow_patch, has_prologue, has_linked, has_user_data;
	uint64_t quorum;
	struct hf_slice signers; /* encoded, without their count */
	struct hf_slice linked;  /* keys of 32 bytes */
	struct hf_slice user_data;
	struct { uint64_t length; uint8_t hash[32]; } prologue; /* length 0 in version 0 */
};

/* Sets the reader's status like any read: HF_EMALFORMED; HF_ETOOBIG past a limit above; HF_EVERSION for a version, hash or signature
 * kind that nobody defined. */
HF_API void hf_manifest_read(struct hf_compact_reader *in, struct hf_manifest *out);
HF_API int hf_manifest_decode(struct hf_manifest *out, struct hf_slice encoded);
/* Appends the one encoding that the key is the hash of. HF_EINVAL for what the version cannot say. */
HF_API int hf_manifest_encode(const struct hf_manifest *manifest, struct hf_buffer *out);
/* Appends one signer, for the signers of a manifest that is being made. */
HF_API int hf_manifest_signer_write(struct hf_buffer *signers, const uint8_t signer_namespace[static 32],
	const uint8_t public_key[static 32]);
/* The signer of that number; false past the last. */
HF_API bool hf_manifest_signer(const struct hf_manifest *manifest, uint64_t number, struct hf_manifest_signer *out);

/* The core's key: a hash of the encoded manifest. HF_ENOMEM, HF_EINVAL. */
HF_API int hf_manifest_key(const struct hf_manifest *manifest, uint8_t key[static HF_CORE_KEY_BYTES]);
/* What a writer gets that asks for nothing: version 1, its public key as the one signer, the default namespace. Borrows bytes,
 * which becomes its encoding. */
HF_API void hf_manifest_default(struct hf_manifest *out, uint8_t bytes[static HF_MANIFEST_DEFAULT_BYTES],
	const uint8_t public_key[static 32]);
/* More than half of the signers; 0 for none. */
static inline uint64_t hf_manifest_quorum_default(uint32_t signer_count) { return signer_count == 0 ? 0 : signer_count / 2 + 1; }

/* Compat cores (before hypercore 11) have their signer's public key as key; quorum, patches and prologue mean nothing for them. */
HF_API bool hf_manifest_is_compat(const struct hf_manifest *manifest, const uint8_t key[static HF_CORE_KEY_BYTES]);
/* The manifest by which a reader of key judges: `encoded` if a peer sent one, which must hash to key (else HF_EBADSIG, and decode's
 * errors); with none (data NULL) the core can only be a compat one. Borrows encoded, or bytes. */
HF_API int hf_manifest_of_key(struct hf_manifest *out, const uint8_t key[static HF_CORE_KEY_BYTES], struct hf_slice encoded,
	uint8_t bytes[static HF_MANIFEST_DEFAULT_BYTES]);

#endif
