/* measure: clocks, counters and sizes that the benchmarks of our own layers share. Times are microseconds. */
#ifndef HF_BENCH_MEASURE_H
#define HF_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

double hf_measure_wall_us(void);
double hf_measure_thread_us(void);  /* CPU of this thread: the machines are shared */
double hf_measure_cpu_us(void);     /* CPU of all threads of the process, user and system */
void hf_measure_sleep_until(double wall_us);

/* Sorts the values. 0 when there are none. */
double hf_measure_percentile(double *values, size_t count, double fraction);

/* Bytes that the device which holds the directory has written since it was started, by whoever. sync() first. */
double hf_measure_device_bytes(const char *directory);

struct hf_measure_memory {
	double made_mb;     /* RssAnon and RssShmem: what the process made */
	double resident_mb; /* VmRSS: with the pages of mapped files */
};
struct hf_measure_memory hf_measure_memory(void);

/* Waits until background work has ended: the process under 2 % of a core for 300 ms, a minute at most. */
void hf_measure_settle(void);

/* Blocks in use below the directory. */
double hf_measure_disk_bytes(const char *directory);
/* Removes it with all that is in it. */
void hf_measure_remove(const char *directory);
/* Drops the cached pages of every file below the directory (POSIX_FADV_DONTNEED after a sync; nobody else's cache is
 * touched, and no privilege is needed). Returns the share of them that stayed in memory, which should be 0. */
double hf_measure_drop_cache(const char *directory);

#endif
