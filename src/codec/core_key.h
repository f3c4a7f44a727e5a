/* core_key: the texts that people use for a core's 32-byte key, read and written as the package hypercore-id-encoding does. */
#ifndef HF_CODEC_CORE_KEY_H
#define HF_CODEC_CORE_KEY_H

#include "base/bytes.h"
#include "base/error.h"

#define HF_CORE_ID_BYTES 53 /* 52 characters of z-base-32 and a NUL */

HF_API void hf_core_key_encode(char out[static HF_CORE_ID_BYTES], const uint8_t key[static 32]);
/* Reads 52 characters of z-base-32 or 64 of hex, of either case; with "pear://" in front, whatever begins with the next slash is
 * left out. HF_EMALFORMED for all else. */
HF_API int hf_core_key_decode(uint8_t key[static 32], struct hf_slice text);

#endif
