/* measure: see measure.h. */
#include "measure.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>

#define SECTOR_BYTES 512.0
#define PAGE_BYTES 4096u
#define SETTLE_US 300000
#define SETTLE_MAX_US 60e6

static double clock_us(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

double hf_measure_wall_us(void)
{
	return clock_us(CLOCK_MONOTONIC);
}

double hf_measure_thread_us(void)
{
	return clock_us(CLOCK_THREAD_CPUTIME_ID);
}

double hf_measure_cpu_us(void)
{
	return clock_us(CLOCK_PROCESS_CPUTIME_ID);
}

void hf_measure_sleep_until(double wall_us)
{
	struct timespec t = {.tv_sec = (time_t)(wall_us / 1e6)};

	t.tv_nsec = (long)((wall_us - (double)t.tv_sec * 1e6) * 1e3);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double hf_measure_percentile(double *values, size_t count, double fraction)
{
	size_t index = (size_t)(fraction * (double)count);

	if (count == 0)
		return 0;
	qsort(values, count, sizeof *values, compare);
	return values[index < count ? index : count - 1];
}

double hf_measure_device_bytes(const char *directory)
{
	struct stat st;
	unsigned major_number, minor_number;
	unsigned long long sectors, found = 0;
	char line[512];
	FILE *file = fopen("/proc/diskstats", "re");

	if (file == NULL)
		return 0;
	while (stat(directory, &st) == 0 && fgets(line, sizeof line, file) != NULL)
		if (sscanf(line, "%u %u %*s %*u %*u %*u %*u %*u %*u %llu", &major_number, &minor_number, &sectors) == 3 &&
		    makedev(major_number, minor_number) == st.st_dev)
			found = sectors;
	fclose(file);
	return (double)found * SECTOR_BYTES;
}

struct hf_measure_memory hf_measure_memory(void)
{
	double anonymous = 0, shared = 0, resident = 0;
	char line[256];
	FILE *file = fopen("/proc/self/status", "re");

	while (file != NULL && fgets(line, sizeof line, file) != NULL) {
		sscanf(line, "RssAnon: %lf", &anonymous);
		sscanf(line, "RssShmem: %lf", &shared);
		sscanf(line, "VmRSS: %lf", &resident);
	}
	if (file != NULL)
		fclose(file);
	return (struct hf_measure_memory){(anonymous + shared) / 1024, resident / 1024};
}

void hf_measure_settle(void)
{
	double end = hf_measure_wall_us() + SETTLE_MAX_US, cpu;

	do {
		cpu = hf_measure_cpu_us();
		usleep(SETTLE_US);
		cpu = hf_measure_cpu_us() - cpu;
	} while (cpu > SETTLE_US * 0.02 && hf_measure_wall_us() < end);
}

/* nftw hands nothing through, so one walk at a time. */
static double walk_bytes, walk_pages, walk_resident;

static int add_blocks(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)path, (void)place;
	if (type == FTW_F)
		walk_bytes += (double)status->st_blocks * SECTOR_BYTES;
	return 0;
}

double hf_measure_disk_bytes(const char *directory)
{
	walk_bytes = 0;
	nftw(directory, add_blocks, 16, FTW_PHYS);
	return walk_bytes;
}

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status, (void)type, (void)place;
	return remove(path);
}

void hf_measure_remove(const char *directory)
{
	nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void count_resident(int fd, size_t bytes)
{
	size_t pages = (bytes + PAGE_BYTES - 1) / PAGE_BYTES;
	unsigned char *there = malloc(pages);
	void *map = mmap(NULL, bytes, PROT_READ, MAP_SHARED, fd, 0);

	if (there != NULL && map != MAP_FAILED && mincore(map, bytes, there) == 0)
		for (size_t i = 0; i < pages; i++)
			walk_resident += there[i] & 1;
	walk_pages += (double)pages;
	if (map != MAP_FAILED)
		munmap(map, bytes);
	free(there);
}

static int drop_file(const char *path, const struct stat *status, int type, struct FTW *place)
{
	int fd;

	(void)place;
	if (type != FTW_F || status->st_size == 0 || (fd = open(path, O_RDONLY | O_CLOEXEC)) < 0)
		return 0;
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	count_resident(fd, (size_t)status->st_size);
	close(fd);
	return 0;
}

double hf_measure_drop_cache(const char *directory)
{
	walk_pages = walk_resident = 0;
	sync();
	nftw(directory, drop_file, 16, FTW_PHYS);
	return walk_pages > 0 ? walk_resident / walk_pages : 0;
}
