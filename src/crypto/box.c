#include "crypto/box.h"

#include <assert.h>
#include <sodium.h>

#include "base/error.h"

static_assert(HF_BOX_KEY_BYTES == crypto_secretbox_KEYBYTES && HF_BOX_NONCE_BYTES == crypto_secretbox_NONCEBYTES &&
		HF_BOX_OVERHEAD_BYTES == crypto_secretbox_MACBYTES, "the numbers of libsodium");

void hf_box_seal(uint8_t *out, struct hf_slice plain, const uint8_t nonce[static HF_BOX_NONCE_BYTES],
	const uint8_t key[static HF_BOX_KEY_BYTES])
{
	crypto_secretbox_easy(out, plain.data, plain.length, nonce, key);
}

int hf_box_open(uint8_t *out, struct hf_slice sealed, const uint8_t nonce[static HF_BOX_NONCE_BYTES],
	const uint8_t key[static HF_BOX_KEY_BYTES])
{
	if (sealed.length < HF_BOX_OVERHEAD_BYTES)
		return HF_EMALFORMED;
	return crypto_secretbox_open_easy(out, sealed.data, sealed.length, nonce, key) == 0 ? HF_OK : HF_EBADSIG;
}
