/* zbase32: z-base-32 as the hypercore packages write keys: five bits a character, the highest first, no padding. */
#ifndef HF_CODEC_ZBASE32_H
#define HF_CODEC_ZBASE32_H

#include "base/bytes.h"

#define HF_ZBASE32_ENCODED_BYTES(length) (((length) * 8 + 4) / 5)
#define HF_ZBASE32_DECODED_BYTES(length) ((length) * 5 / 8)

/* Writes HF_ZBASE32_ENCODED_BYTES(length) characters, no final NUL. */
void hf_zbase32_encode(void *out, const void *data, size_t length);
/* Reads length characters into HF_ZBASE32_DECODED_BYTES(length) bytes. False for a character outside the alphabet, upper case
 * too, and for a length that no bytes give; what was written to out then means nothing. Bits behind the last byte are not
 * looked at, as in the packages. */
bool hf_zbase32_decode(void *out, const void *text, size_t length);

#endif
