/* text: numbers, sizes and durations as people write them, and the nearest known name. */
#ifndef HF_BASE_TEXT_H
#define HF_BASE_TEXT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Decimal, the whole text, no sign. HF_EINVAL or HF_ETOOBIG. */
int hf_text_to_u64(const char *text, uint64_t *value);
/* "512", "64k", "25 MB", "1GiB": k, M, G, T are powers of 1024, with or without B or iB. */
int hf_text_to_bytes(const char *text, uint64_t *bytes);
/* "250ms", "10s", "5m", "2h", "7d"; a bare number is milliseconds. */
int hf_text_to_ms(const char *text, uint64_t *ms);
bool hf_text_to_bool(const char *text, bool *value); /* yes/no, true/false, on/off, 1/0 */
/* "25.0 GiB"; returns out. */
char *hf_text_from_bytes(char *out, size_t size, uint64_t bytes);
/* The candidate with the least edit distance, at most 3 and at most half the name; NULL when none. */
const char *hf_text_nearest(const char *name, const char *const *candidates, size_t count);

#endif
