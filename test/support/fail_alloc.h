/* fail_alloc: makes the n-th allocation fail, to test that HF_ENOMEM is returned and nothing leaks.
 *
 * A test that uses it has fail_alloc_dep (test/support/meson.build) among its dependencies, that is, it is
 * linked with
 *     -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc,--wrap=posix_memalign
 * which sends the calls of everything linked statically (our libraries, not libc's or libsodium's own)
 * through here. The usual loop, which ends when the operation needed fewer than n allocations:
 *
 *     for (uint64_t n = 1;; n++) {
 *         fail_alloc_arm(n, false);
 *         int error = operation();
 *         bool failed = fail_alloc_disarm();
 *         if (!failed) { assert_int_equal(error, HF_OK); break; }
 *         assert_int_equal(error, HF_ENOMEM);
 *     }
 */
#ifndef HF_TEST_FAIL_ALLOC_H
#define HF_TEST_FAIL_ALLOC_H

#include <stdbool.h>
#include <stdint.h>

/* From now on counts allocations, of this thread or of all threads, and fails the n-th (1 is the next),
 * once. */
void fail_alloc_arm(uint64_t n, bool all_threads);
/* The same, and every later one too until disarmed. */
void fail_alloc_arm_from(uint64_t n, bool all_threads);
/* Ends it; true when an allocation has failed. */
bool fail_alloc_disarm(void);

#endif
