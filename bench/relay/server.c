/* server: see server.h. */
#include "server.h"

#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define START_TIMEOUT_US (60ll * 1000000)
#define STOP_TIMEOUT_US (10ll * 1000000)
#define SECTOR_BYTES 512.0

static int remove_entry(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)status, (void)type;
	return place->level == 0 ? 0 : remove(path);
}

bool hf_bench_server_clear(struct hf_bench_server *server)
{
	nftw(server->dir, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
	if (mkdir(server->dir, 0700) && errno != EEXIST) {
		fprintf(stderr, "relay: %s: %s\n", server->dir, strerror(errno));
		return false;
	}
	return true;
}

static int free_port(void)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t bytes = sizeof(address);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	bool found = fd >= 0 && !bind(fd, (struct sockaddr *)&address, bytes) &&
		     !getsockname(fd, (struct sockaddr *)&address, &bytes);
	if (fd >= 0)
		close(fd);
	return found ? ntohs(address.sin_port) : 0;
}

/* The command with every {dir} and {port} replaced. */
static void expand(const struct hf_bench_server *server, char *out, size_t out_bytes)
{
	size_t used = (size_t)snprintf(out, out_bytes, "exec ");
	for (const char *from = server->command; *from && used + sizeof(server->dir) < out_bytes;) {
		if (!strncmp(from, "{dir}", 5)) {
			used += (size_t)snprintf(out + used, out_bytes - used, "%s", server->dir);
			from += 5;
		} else if (!strncmp(from, "{port}", 6)) {
			used += (size_t)snprintf(out + used, out_bytes - used, "%d", server->port);
			from += 6;
		} else {
			out[used++] = *from++;
		}
	}
	out[used] = 0;
}

static pid_t spawn(const struct hf_bench_server *server)
{
	char command[4096];
	expand(server, command, sizeof(command));
	pid_t pid = fork();
	if (pid)
		return pid;
	int log = open(server->log_path, O_WRONLY | O_CREAT | O_APPEND, 0600);
	int null = open("/dev/null", O_RDONLY);
	prctl(PR_SET_PDEATHSIG, SIGKILL); /* no server outlives the benchmark */
	dup2(null, 0);
	dup2(log, 1);
	dup2(log, 2);
	execl("/bin/sh", "sh", "-c", command, (char *)NULL);
	_exit(127);
}

/* One try: true when any answer to an HTTP request came; the body is kept when it looks like the NIP-11 document. */
static bool answers(struct hf_bench_server *server)
{
	char reply[sizeof(server->information)], request[160];
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)server->port)};
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval patience = {.tv_sec = 5};
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	size_t end = 0;
	int bytes = snprintf(request, sizeof(request),
		"GET / HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAccept: application/nostr+json\r\nConnection: close\r\n\r\n",
		server->port);
	if (!connect(fd, (struct sockaddr *)&address, sizeof(address)) &&
		send(fd, request, (size_t)bytes, MSG_NOSIGNAL) == bytes) {
		ssize_t count = recv(fd, reply, sizeof(reply) - 1, 0);
		end = count > 0 ? (size_t)count : 0;
	}
	close(fd);
	reply[end] = 0;
	char *body = strstr(reply, "\r\n\r\n");
	body = body ? strchr(body, '{') : NULL;
	snprintf(server->information, sizeof(server->information), "%s", body ? body : "");
	return end > 0;
}

bool hf_bench_server_start(struct hf_bench_server *server, int64_t *ready_us)
{
	server->port = free_port();
	int64_t begin = hf_bench_now_us();
	server->pid = spawn(server);
	while (hf_bench_now_us() - begin < START_TIMEOUT_US) {
		if (answers(server)) {
			if (ready_us)
				*ready_us = hf_bench_now_us() - begin;
			return true;
		}
		if (waitpid(server->pid, NULL, WNOHANG) == server->pid)
			break;
		usleep(500);
	}
	fprintf(stderr, "relay: the server did not come up, see %s\n", server->log_path);
	if (kill(server->pid, SIGKILL) == 0)
		waitpid(server->pid, NULL, 0);
	server->pid = 0;
	return false;
}

void hf_bench_server_stop(struct hf_bench_server *server, int signal_number)
{
	if (!server->pid)
		return;
	kill(server->pid, signal_number);
	int64_t begin = hf_bench_now_us();
	bool killed = false;
	while (waitpid(server->pid, NULL, WNOHANG) == 0) {
		if (!killed && hf_bench_now_us() - begin > STOP_TIMEOUT_US) {
			fprintf(stderr, "relay: the server ignored signal %d for 10 s: killed\n", signal_number);
			kill(server->pid, SIGKILL);
			killed = true;
		}
		usleep(1000);
	}
	server->pid = 0;
}

/* The number after `name` in a file of "name: number" lines; 0 when there is none. */
static double proc_number(const char *path, const char *name)
{
	char line[256];
	double value = 0;
	FILE *file = fopen(path, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, name, strlen(name))) {
			value = strtod(line + strlen(name), NULL);
			break;
		}
	fclose(file);
	return value;
}

static double device_written_bytes(const char *dir)
{
	char line[512];
	struct stat status;
	double sectors = 0;
	FILE *file = fopen("/proc/diskstats", "re");
	if (!file || stat(dir, &status)) {
		if (file)
			fclose(file);
		return 0;
	}
	while (fgets(line, sizeof(line), file)) {
		unsigned device_major, device_minor;
		uint64_t written;
		if (sscanf(line, "%u %u %*s %*u %*u %*u %*u %*u %*u %" SCNu64, &device_major, &device_minor,
			    &written) == 3 &&
			makedev(device_major, device_minor) == status.st_dev)
			sectors = (double)written;
	}
	fclose(file);
	return sectors * SECTOR_BYTES;
}

void hf_bench_server_sample(const struct hf_bench_server *server, bool synced, struct hf_bench_sample *sample)
{
	char path[64];
	clockid_t clock_id;
	struct timespec cpu = {0};
	*sample = (struct hf_bench_sample){.at_us = hf_bench_now_us()};
	if (!clock_getcpuclockid(server->pid, &clock_id) && !clock_gettime(clock_id, &cpu))
		sample->cpu_us = (double)cpu.tv_sec * 1e6 + (double)cpu.tv_nsec / 1e3;
	snprintf(path, sizeof(path), "/proc/%d/status", (int)server->pid);
	sample->memory_bytes = 1024 * (proc_number(path, "RssAnon:") + proc_number(path, "RssShmem:"));
	sample->resident_bytes = 1024 * proc_number(path, "VmRSS:");
	if (!synced)
		return;
	int fd = open(server->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0) {
		syncfs(fd);
		close(fd);
	}
	snprintf(path, sizeof(path), "/proc/%d/io", (int)server->pid);
	sample->process_written_bytes = proc_number(path, "write_bytes:");
	sample->device_written_bytes = device_written_bytes(server->dir);
}

void hf_bench_server_settle(const struct hf_bench_server *server, int64_t timeout_us)
{
	struct hf_bench_sample before, now;
	int64_t begin = hf_bench_now_us();
	hf_bench_server_sample(server, false, &before);
	do {
		usleep(300000);
		hf_bench_server_sample(server, false, &now);
		if (now.cpu_us - before.cpu_us < 0.02 * 300000)
			return;
		before = now;
	} while (now.at_us - begin < timeout_us);
}

static double disk_blocks;

static int count_blocks(const char *path, const struct stat *status, int type, struct FTW *place)
{
	(void)path, (void)place;
	if (type == FTW_F)
		disk_blocks += (double)status->st_blocks;
	return 0;
}

double hf_bench_server_disk_bytes(const struct hf_bench_server *server)
{
	disk_blocks = 0;
	nftw(server->dir, count_blocks, 16, FTW_PHYS);
	return disk_blocks * SECTOR_BYTES;
}
