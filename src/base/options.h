/* options: what a caller hands in as a struct that begins with its size, by which the two may be of different versions.
 *
 *     struct hf_store_options own;
 *     status = hf_options_take(&own, sizeof own, options);
 *
 * Such structs only ever grow at their end, and zero is the default of all that they grow by. An older caller's is shorter: the rest is
 * zero then. A newer caller's is longer: what this library does not know must be zero, for it could not be done.
 */
#ifndef HF_BASE_OPTIONS_H
#define HF_BASE_OPTIONS_H

#include <stddef.h>

/* given begins with a size_t, its size; out is the same struct as this library knows it, of `bytes`, and gets that as its size.
 * HF_EINVAL: the size is not set; HF_EVERSION: something is asked for that this library does not know. out is then zero. */
int hf_options_take(void *out, size_t bytes, const void *given);

#endif
