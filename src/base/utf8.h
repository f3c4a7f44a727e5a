/* utf8: validation (RFC 3629: no surrogates, no overlong forms, at most U+10FFFF). */
#ifndef HF_BASE_UTF8_H
#define HF_BASE_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool hf_utf8_valid(const uint8_t *data, size_t length);

/* Incremental: start with state 0; returns false as soon as the text can no longer be valid; the text is
 * complete when *state is 0 again. */
bool hf_utf8_check(uint32_t *state, const uint8_t *data, size_t length);

#endif
