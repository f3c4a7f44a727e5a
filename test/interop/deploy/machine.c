/* A machine with something wrong, for `holdfast doctor`: loaded before the program, each of these answers as a variable says. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

static long long asked(const char *name)
{
	const char *value = getenv(name);
	return value ? atoll(value) : -1;
}

#define REAL(function) ((__typeof__(&function))dlsym(RTLD_NEXT, #function))

int adjtimex(struct timex *state)
{
	memset(state, 0, sizeof *state);
	state->status = asked("MACHINE_UNSYNCHRONISED") == 1 ? STA_UNSYNC : 0;
	return state->status ? TIME_ERROR : TIME_OK;
}

int clock_gettime(clockid_t id, struct timespec *at)
{
	int r = REAL(clock_gettime)(id, at);
	const char *shift = getenv("MACHINE_CLOCK_SHIFT_S");
	if (id == CLOCK_REALTIME && shift)
		at->tv_sec += atoll(shift);
	return r;
}

int statvfs(const char *path, struct statvfs *space)
{
	int r = REAL(statvfs)(path, space);
	long long free_bytes = asked("MACHINE_FREE_BYTES");
	if (r == 0 && free_bytes >= 0)
		space->f_bavail = (fsblkcnt_t)free_bytes / space->f_frsize;
	return r;
}

int statfs(const char *path, struct statfs *system)
{
	int r = REAL(statfs)(path, system);
	const char *type = getenv("MACHINE_FILE_SYSTEM");
	system->f_type = type ? strtol(type, NULL, 16) : 0xef53;
	return r;
}

int fdatasync(int file)
{
	if (asked("MACHINE_SYNC_FAILS") == 1) {
		errno = EIO;
		return -1;
	}
	if (asked("MACHINE_SYNC_MS") > 0)
		usleep((useconds_t)asked("MACHINE_SYNC_MS") * 1000);
	return 0; /* whatever else keeps this disk busy */
}

int sysinfo(struct sysinfo *info)
{
	int r = REAL(sysinfo)(info);
	if (asked("MACHINE_MEMORY_MIB") >= 0) {
		info->totalram = (unsigned long)asked("MACHINE_MEMORY_MIB") << 20;
		info->mem_unit = 1;
	}
	return r;
}

FILE *fopen(const char *path, const char *mode)
{
	const char *other = strcmp(path, "/proc/sys/net/core/rmem_max") == 0 ? getenv("MACHINE_RMEM_MAX_FILE") : NULL;
	return REAL(fopen)(other ? other : path, mode);
}

ssize_t sendto(int fd, const void *data, size_t length, int flags, const struct sockaddr *to, socklen_t to_length)
{
	if (asked("MACHINE_NO_DATAGRAMS") == 1) {
		errno = EPERM;
		return -1;
	}
	return REAL(sendto)(fd, data, length, flags, to, to_length);
}

int getifaddrs(struct ifaddrs **all)
{
	static struct sockaddr_in6 ip = {.sin6_family = AF_INET6, .sin6_addr.s6_addr = {0x20, 0x01, 0x0d, 0xb8, [15] = 1}};
	static struct ifaddrs one = {.ifa_name = "eth0", .ifa_flags = IFF_UP, .ifa_addr = (struct sockaddr *)&ip};
	*all = asked("MACHINE_IPV6") == 1 ? &one : NULL;
	return 0;
}

void freeifaddrs(struct ifaddrs *all)
{
	(void)all;
}
