/* libsodium's guarded allocations; nothing of our own beside the length. */
#include "crypto/secret.h"

#include <sodium.h>

int hf_secret_new(struct hf_secret *secret, size_t length)
{
	*secret = (struct hf_secret){0};
	if (length > HF_SECRET_BYTES_MAX)
		return HF_ETOOBIG;
	if (length == 0)
		return HF_OK;
	/* sodium_malloc needs the library to be initialised; repeating it is cheap. */
	if (sodium_init() < 0)
		return HF_EIO;
	secret->data = sodium_malloc(length);
	if (!secret->data)
		return HF_ENOMEM;
	secret->length = length;
	return HF_OK;
}

int hf_secret_copy(struct hf_secret *secret, struct hf_slice bytes)
{
	int error = hf_secret_new(secret, bytes.length);
	if (!error && bytes.length)
		memcpy(secret->data, bytes.data, bytes.length);
	return error;
}

int hf_secret_random(struct hf_secret *secret, struct hf_env *env, size_t length)
{
	int error = hf_secret_new(secret, length);
	if (!error && length)
		env->random(env, secret->data, length);
	return error;
}

void hf_secret_free(struct hf_secret *secret)
{
	sodium_free(secret->data);
	*secret = (struct hf_secret){0};
}

bool hf_secret_equal(const struct hf_secret *a, const struct hf_secret *b)
{
	return a->length == b->length && (a->length == 0 || sodium_memcmp(a->data, b->data, a->length) == 0);
}

void hf_wipe(void *data, size_t length)
{
	sodium_memzero(data, length);
}
