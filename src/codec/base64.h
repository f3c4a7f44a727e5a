/* base64: the standard alphabet with padding. (RFC 4648, section 4) */
#ifndef HF_CODEC_BASE64_H
#define HF_CODEC_BASE64_H

#include "base/bytes.h"

#define HF_BASE64_ENCODED_BYTES(length) (((length) + 2) / 3 * 4)
#define HF_BASE64_DECODED_BYTES_MAX(length) ((length) / 4 * 3)

/* Writes HF_BASE64_ENCODED_BYTES(length) characters, no final NUL; returns that number. */
size_t hf_base64_encode(void *out, const void *data, size_t length);
/* Writes at most HF_BASE64_DECODED_BYTES_MAX(length) bytes and sets *decoded_bytes. Strict: whole groups of
 * four, padding only at the end, unused bits zero, no white space. False otherwise. */
bool hf_base64_decode(void *out, const void *text, size_t length, size_t *decoded_bytes);

#endif
