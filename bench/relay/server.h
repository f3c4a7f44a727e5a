/* server: the relay under test as a process: started, sampled from outside, stopped or killed.
 *
 * The command is run by `sh -c 'exec …'` with {dir} and {port} replaced, so the process id is the server's own; CPU
 * time counts all its threads, ended ones too, to the nanosecond (the process's CPU clock), but not its children. */
#ifndef HF_BENCH_SERVER_H
#define HF_BENCH_SERVER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct hf_bench_server {
	const char *command;
	char dir[512];
	char log_path[600];
	char information[8192]; /* NIP-11 document of the last start, may be empty */
	int port;
	pid_t pid; /* 0 when not running */
};

struct hf_bench_sample {
	int64_t at_us;
	double cpu_us;
	double memory_bytes; /* anonymous and shared: what the process made, without cached file pages */
	double resident_bytes;
	double device_written_bytes;  /* by everybody, on the device that holds the directory */
	double process_written_bytes; /* as /proc/PID/io has it: pages dirtied, which overstates for mapped files */
};

/* Empties the directory. */
bool hf_bench_server_clear(struct hf_bench_server *server);

/* Starts it and waits until it answers an HTTP request; *ready_us (may be NULL) is the time that took. */
bool hf_bench_server_start(struct hf_bench_server *server, int64_t *ready_us);

/* Sends the signal and waits for the end, ten seconds at most; then SIGKILL. */
void hf_bench_server_stop(struct hf_bench_server *server, int signal_number);

/* `synced`: write out the directory's file system first, so that the device figure is complete. */
void hf_bench_server_sample(const struct hf_bench_server *server, bool synced, struct hf_bench_sample *sample);

/* Waits until background work has ended: under 2 % of a core for 300 ms, or timeout. */
void hf_bench_server_settle(const struct hf_bench_server *server, int64_t timeout_us);

/* Blocks in use under the directory. */
double hf_bench_server_disk_bytes(const struct hf_bench_server *server);

#endif
