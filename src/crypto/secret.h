/* secret: memory for keys: locked out of swap and core dumps, between guard pages, wiped when freed.
 *
 * A secret is never printed, logged or compared with memcmp. It costs some pages; make few.
 */
#ifndef HF_CRYPTO_SECRET_H
#define HF_CRYPTO_SECRET_H

#include "base/bytes.h"
#include "base/env.h"

#define HF_SECRET_BYTES_MAX 65536

struct hf_secret {
	uint8_t *data; /* NULL when empty */
	size_t length;
};

/* Each overwrites *secret, which must be empty or zeroed. HF_ENOMEM, or HF_ETOOBIG past HF_SECRET_BYTES_MAX. */
HF_API int hf_secret_new(struct hf_secret *secret, size_t length); /* contents undefined */
HF_API int hf_secret_copy(struct hf_secret *secret, struct hf_slice bytes);
HF_API int hf_secret_random(struct hf_secret *secret, struct hf_env *env, size_t length);
/* Wipes and frees; empty or zeroed is fine, and it is empty afterwards. */
HF_API void hf_secret_free(struct hf_secret *secret);
static inline struct hf_slice hf_secret_slice(const struct hf_secret *secret)
{
	return (struct hf_slice){secret->data, secret->length};
}
/* In a time that depends on the lengths only. */
HF_API bool hf_secret_equal(const struct hf_secret *a, const struct hf_secret *b);

/* Overwrites memory in a way that the compiler does not remove. */
HF_API void hf_wipe(void *data, size_t length);

#endif
