/* Preloaded into a gateway: a disk that is slow or fails, and a clock that is wrong, as files in the directory FAULTY_OS say. The files hold
 * a number: sync_ms, fail_writes, shift_s. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static long told(const char *name)
{
	char path[4096], text[32];
	int length = snprintf(path, sizeof path, "%s/%s", getenv("FAULTY_OS"), name), file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t read_bytes = file < 0 || length < 0 ? -1 : read(file, text, sizeof text - 1);
	if (file >= 0)
		close(file);
	if (read_bytes < 0)
		return 0;
	text[read_bytes] = 0;
	return atol(text);
}

int fdatasync(int file)
{
	int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
	usleep((useconds_t)told("sync_ms") * 1000);
	return real(file);
}

static ssize_t write_at(const char *name, int file, const struct iovec *slices, int count, off_t offset)
{
	ssize_t (*real)(int, const struct iovec *, int, off_t) = (ssize_t(*)(int, const struct iovec *, int, off_t))dlsym(RTLD_NEXT, name);
	if (told("fail_writes")) {
		errno = EIO;
		return -1;
	}
	return real(file, slices, count, offset);
}

ssize_t pwritev(int file, const struct iovec *slices, int count, off_t offset)
{
	return write_at("pwritev", file, slices, count, offset);
}

ssize_t pwritev64(int file, const struct iovec *slices, int count, off_t offset)
{
	return write_at("pwritev64", file, slices, count, offset);
}

int clock_gettime(clockid_t clock, struct timespec *now)
{
	static int (*real)(clockid_t, struct timespec *);
	if (!real)
		real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
	int result = real(clock, now);
	if (clock == CLOCK_REALTIME)
		now->tv_sec += told("shift_s");
	return result;
}
