/* One countdown for the process; `armed` is 0, or which threads it counts. */
#include "support/fail_alloc.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

void *__real_malloc(size_t length);
void *__real_calloc(size_t count, size_t length);
void *__real_realloc(void *memory, size_t length);
int __real_posix_memalign(void **memory, size_t alignment, size_t length);
void *__wrap_malloc(size_t length);
void *__wrap_calloc(size_t count, size_t length);
void *__wrap_realloc(void *memory, size_t length);
int __wrap_posix_memalign(void **memory, size_t alignment, size_t length);

enum { IDLE, ONE_THREAD, ALL_THREADS };

static _Atomic int armed;
static _Atomic int64_t left;
static _Atomic bool failed;
static _Atomic bool and_later;
static _Thread_local bool mine;

static void arm(uint64_t n, bool all_threads, bool later)
{
	atomic_store(&left, (int64_t)n);
	atomic_store(&failed, false);
	atomic_store(&and_later, later);
	mine = true;
	atomic_store(&armed, all_threads ? ALL_THREADS : ONE_THREAD);
}

void fail_alloc_arm(uint64_t n, bool all_threads)
{
	arm(n, all_threads, false);
}

void fail_alloc_arm_from(uint64_t n, bool all_threads)
{
	arm(n, all_threads, true);
}

bool fail_alloc_disarm(void)
{
	atomic_store(&armed, IDLE);
	mine = false;
	return atomic_load(&failed);
}

static bool fails_now(void)
{
	int scope = atomic_load(&armed);
	if (scope == IDLE || (scope == ONE_THREAD && !mine))
		return false;
	int64_t before = atomic_fetch_sub(&left, 1);
	if (before > 1 || (before < 1 && !atomic_load(&and_later)))
		return false;
	atomic_store(&failed, true);
	errno = ENOMEM;
	return true;
}

void *__wrap_malloc(size_t length)
{
	return fails_now() ? NULL : __real_malloc(length);
}

void *__wrap_calloc(size_t count, size_t length)
{
	return fails_now() ? NULL : __real_calloc(count, length);
}

void *__wrap_realloc(void *memory, size_t length)
{
	return fails_now() ? NULL : __real_realloc(memory, length);
}

int __wrap_posix_memalign(void **memory, size_t alignment, size_t length)
{
	return fails_now() ? ENOMEM : __real_posix_memalign(memory, alignment, length);
}
