/* cold_fs: a disk that is cold until it is read waiting, and that counts who waits on a thread that must not. */
#ifndef HF_TEST_COLD_FS_H
#define HF_TEST_COLD_FS_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/error.h"
#include "base/file.h"

#define COLD_FS_WARM_MAX 65536 /* places that are remembered as read */

static struct hf_fs cold_fs;
static pthread_mutex_t cold_mutex = PTHREAD_MUTEX_INITIALIZER;
static uint64_t cold_warm[COLD_FS_WARM_MAX];
static size_t cold_warm_count;
static _Atomic uint64_t cold_waits;  /* reads that were told to wait */
static pthread_t cold_loop;          /* the thread that must not wait … */
static _Atomic bool cold_is_turning; /* … while this is set */
static _Atomic uint64_t cold_stalls; /* how often it did */

static inline uint64_t cold_place_of(const struct hf_file *file, uint64_t offset)
{
	return (uint64_t)file->descriptor << 40 | offset;
}

static inline int cold_pread(struct hf_file *file, void *data, size_t length, uint64_t offset, size_t *done)
{
	cold_stalls += cold_is_turning && pthread_equal(pthread_self(), cold_loop) != 0;
	pthread_mutex_lock(&cold_mutex);
	cold_warm[cold_warm_count++ % COLD_FS_WARM_MAX] = cold_place_of(file, offset);
	pthread_mutex_unlock(&cold_mutex);
	return hf_fs_system()->pread(file, data, length, offset, done);
}

static inline int cold_pread_resident(struct hf_file *file, void *data, size_t length, uint64_t offset, size_t *done)
{
	bool is_warm = false;

	pthread_mutex_lock(&cold_mutex);
	for (size_t i = 0; i < cold_warm_count && i < COLD_FS_WARM_MAX && !is_warm; i++)
		is_warm = cold_warm[i] == cold_place_of(file, offset);
	pthread_mutex_unlock(&cold_mutex);
	if (is_warm)
		return hf_fs_system()->pread(file, data, length, offset, done);
	cold_waits++;
	return HF_EWAIT;
}

static inline void cold_cool_down(void)
{
	pthread_mutex_lock(&cold_mutex);
	cold_warm_count = 0;
	pthread_mutex_unlock(&cold_mutex);
}

/* The calling thread is the one that must not wait. */
static inline void cold_fs_init(void)
{
	cold_fs = *hf_fs_system();
	cold_fs.pread = cold_pread;
	cold_fs.pread_resident = cold_pread_resident;
	cold_loop = pthread_self();
}

#endif
