/* hex: lower-case hexadecimal, encoded and strictly decoded, 16 bytes at a time where SSE2 is there. */
#ifndef HF_CODEC_HEX_H
#define HF_CODEC_HEX_H

#include "base/bytes.h"

/* Writes 2 * length characters, no final NUL. out and data must not overlap. */
HF_API void hf_hex_encode(void *out, const void *data, size_t length);
/* Reads 2 * length characters of 0-9a-f into length bytes. False when a character is anything else, upper case
 * too; what was written to out then means nothing. */
HF_API bool hf_hex_decode(void *out, const void *hex, size_t length);
/* How many characters from the start of text are 0-9a-f. */
HF_API size_t hf_hex_run(const void *text, size_t length);

#endif
