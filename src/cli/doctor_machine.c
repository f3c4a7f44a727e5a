/* doctor_machine: what the machine gives: open files, clock, disk, memory. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/statvfs.h>
#include <sys/sysinfo.h>
#include <sys/timex.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/text.h"
#include "cli/doctor.h"

#define DESCRIPTORS_BESIDE_CONNECTIONS 256 /* as the gateway counts them */
#define MIB (UINT64_C(1) << 20)
#define GIB (MIB << 10)
#define FREE_BYTES_LOW GIB
#define CLOCK_SLACK_S 3600
#define SYNC_COUNT 5
#define SYNC_SLOW_US 20000
#define SYNC_BYTES 4096

static const char *size_text(uint64_t bytes, char out[static 32])
{
	return hf_text_from_bytes(out, 32, bytes);
}
#define SIZE(bytes) size_text(bytes, (char[32]){0})

/* ---- Open files ---- */

static void look_at_open_files(struct hf_doctor *d)
{
	struct rlimit limit;
	uint64_t wanted = d->config->connections_max + DESCRIPTORS_BESIDE_CONNECTIONS, most;
	char path[64];
	snprintf(path, sizeof path, "/proc/%d/limits", (int)d->holder);
	bool is_running = d->holder > 0 && d->holder_answers;
	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	most = limit.rlim_max == RLIM_INFINITY ? UINT64_MAX : limit.rlim_max;
	if (is_running)
		hf_doctor_read_number(path, "Max open files", &most);
	if (most >= wanted)
		hf_doctor_ok(d, "open files", HF_DOCTOR_TEXT("%llu are enough for %llu connections", (unsigned long long)most,
			(unsigned long long)d->config->connections_max));
	else
		hf_doctor_find(d, HF_DOCTOR_FAULT, "open files", HF_DOCTOR_TEXT("%s may open %llu files; gateway.connections_max = %llu takes %llu.",
			is_running ? "The running gateway" : "A process started here", (unsigned long long)most,
			(unsigned long long)d->config->connections_max, (unsigned long long)wanted),
			"Each connection takes one. Clients are turned away long before connections_max, and the store needs some, too.",
			HF_DOCTOR_TEXT("sudo mkdir -p /etc/systemd/system/holdfast.service.d && printf '[Service]\\nLimitNOFILE=%llu\\n' | "
				"sudo tee /etc/systemd/system/holdfast.service.d/open-files.conf && sudo systemctl daemon-reload && "
				"sudo systemctl restart holdfast\n"
				"or, without systemd: gateway.connections_max = %llu", (unsigned long long)wanted,
				(unsigned long long)(most > DESCRIPTORS_BESIDE_CONNECTIONS * 2 ? most - DESCRIPTORS_BESIDE_CONNECTIONS : most / 2)));
}

/* ---- Clock ---- */

struct newest {
	struct hf_doctor *doctor;
	const char *directory;
	int64_t at_s;
	char name[256];
};

static int look_at_date(void *context, const char *name)
{
	struct newest *newest = context;
	char path[HF_PATH_BYTES_MAX];
	struct stat status;
	if (hf_path_join(path, newest->directory, name) == HF_OK && stat(path, &status) == 0 && status.st_mtim.tv_sec > newest->at_s) {
		newest->at_s = status.st_mtim.tv_sec;
		snprintf(newest->name, sizeof newest->name, "%s", name);
	}
	return HF_OK;
}

static void look_at_date_of_files(struct hf_doctor *d, int64_t now_s, bool *is_well)
{
	struct newest newest = {.doctor = d, .directory = d->config->data};
	char store[HF_PATH_BYTES_MAX];
	if (!d->has_data)
		return;
	d->cli->env.fs->list(d->cli->env.fs, d->config->data, look_at_date, &newest);
	if (hf_path_join(store, d->config->data, "store") == HF_OK) {
		newest.directory = store;
		d->cli->env.fs->list(d->cli->env.fs, store, look_at_date, &newest);
	}
	if (newest.at_s <= now_s + CLOCK_SLACK_S)
		return;
	*is_well = false;
	hf_doctor_find(d, HF_DOCTOR_FAULT, "clock", HF_DOCTOR_TEXT("%s in the data directory was written %lld hours from now.", newest.name,
		(long long)(newest.at_s - now_s) / 3600), "The clock is behind, or was ahead when that was written. Events of now are refused as too "
			"far in "
		"the future or dated wrongly, and tokens end at the wrong time.", "timedatectl; sudo timedatectl set-ntp true");
}

static void look_at_clock(struct hf_doctor *d)
{
	struct timex state = {0};
	struct stat program;
	int64_t now_s = (int64_t)hf_env_wall_s(&d->cli->env);
	bool is_well = true;
	if (stat("/proc/self/exe", &program) == 0 && now_s + CLOCK_SLACK_S < program.st_mtim.tv_sec) {
		is_well = false;
		hf_doctor_find(d, HF_DOCTOR_FAULT, "clock", HF_DOCTOR_TEXT("The clock is %lld hours before this program was built.",
			(long long)(program.st_mtim.tv_sec - now_s) / 3600), "Events of others are refused as too far in the future, certificates as not yet "
				"valid.",
			"timedatectl; sudo timedatectl set-ntp true");
	}
	look_at_date_of_files(d, now_s, &is_well);
	int synchronised = adjtimex(&state);
	if (synchronised < 0 || synchronised == TIME_ERROR || (state.status & STA_UNSYNC)) {
		hf_doctor_find(d, HF_DOCTOR_WARNING, "clock", "Nothing keeps the clock right: the kernel says that it is not synchronised.",
			"A clock that drifts refuses events, ends tokens early or late, and fails authentication (relay.auth_window).",
			"sudo apt-get install -y systemd-timesyncd && sudo timedatectl set-ntp true");
		return;
	}
	if (is_well)
		hf_doctor_ok(d, "clock", "synchronised");
}

/* ---- Disk ---- */

static void look_at_space(struct hf_doctor *d)
{
	struct statvfs space;
	if (statvfs(d->data, &space) < 0)
		return;
	uint64_t free_bytes = (uint64_t)space.f_bavail * space.f_frsize, all = (uint64_t)space.f_blocks * space.f_frsize;
	bool is_low = free_bytes < FREE_BYTES_LOW && free_bytes < all / 2;
	if (is_low || free_bytes < all / 100)
		hf_doctor_find(d, free_bytes < FREE_BYTES_LOW / 16 ? HF_DOCTOR_FAULT : HF_DOCTOR_WARNING, "disk space",
			HF_DOCTOR_TEXT("%s are free where %s is.", SIZE(free_bytes), d->data),
			"When the disk is full, what is published is refused, and collecting garbage needs room, too.",
			HF_DOCTOR_TEXT("df -h %s; holdfast store compact --data %s", d->data, d->config->data));
	else
		hf_doctor_ok(d, "disk space", HF_DOCTOR_TEXT("%s free", SIZE(free_bytes)));
	if (d->config->quota_bytes > all)
		hf_doctor_find(d, HF_DOCTOR_WARNING, "quota", HF_DOCTOR_TEXT("store.quota is %s, the disk has %s in all.", SIZE(d->config->quota_bytes),
			SIZE(all)), "The disk is full before the quota says so, and other programs on it fail with the store.",
			HF_DOCTOR_SET(d, "store", "quota", HF_DOCTOR_TEXT("%llu MiB", (unsigned long long)(all / MIB * 8 / 10))));
	else if (d->config->quota_bytes == 0 && hf_doctor_is_public(d))
		hf_doctor_find(d, HF_DOCTOR_WARNING, "quota", "store.quota is not set: the store may take the whole disk.",
			"Strangers decide how much is published. With a quota what is published is refused in time, and all else goes on.",
			HF_DOCTOR_SET(d, "store", "quota", HF_DOCTOR_TEXT("%llu MiB", (unsigned long long)(all / MIB * 8 / 10))));
	else
		hf_doctor_ok(d, "quota", d->config->quota_bytes ? SIZE(d->config->quota_bytes) : "none");
}

static void look_at_file_system(struct hf_doctor *d)
{
	static const struct { unsigned long type; const char *name, *why; } kinds[] = {
		{0x01021994, "tmpfs", "It is memory: everything is gone with the next start of the machine."},
		{0x858458f6, "ramfs", "It is memory: everything is gone with the next start of the machine."},
		{0x794c7630, "overlayfs", "It is a container's own layer: everything is gone with the container."},
		{0x6969, "nfs", "Locks and syncs over a network may not hold: two processes can use it at once, and an OK may be lost."},
		{0xff534d42, "cifs", "Locks and syncs over a network may not hold: two processes can use it at once, and an OK may be lost."},
		{0xfe534d42, "smb2", "Locks and syncs over a network may not hold: two processes can use it at once, and an OK may be lost."},
		{0x01021997, "9p", "Locks and syncs over a network may not hold: two processes can use it at once, and an OK may be lost."},
		{0x65735546, "fuse", "Whether a sync reaches a disk depends on the program behind it."},
		{0x4d44, "vfat", "It has no permissions: keys cannot be closed to others."},
	};
	struct statfs system;
	if (statfs(d->data, &system) < 0)
		return;
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if ((unsigned long)system.f_type == kinds[i].type) {
			hf_doctor_find(d, HF_DOCTOR_WARNING, "file system", HF_DOCTOR_TEXT("%s is on %s.", d->data, kinds[i].name), kinds[i].why,
				HF_DOCTOR_TEXT("findmnt -T %s; put gateway.data on a local ext4 or XFS, in a container on a volume", d->data));
			return;
		}
	hf_doctor_ok(d, "file system",
		system.f_type == 0xef53 ? "ext" : system.f_type == 0x58465342 ? "XFS" : system.f_type == 0x9123683e ? "Btrfs" : "local");
}

static int compare_times(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
	return x < y ? -1 : x > y;
}

/* How long a sync takes, on a file without a name, of which nothing stays. */
static void look_at_sync(struct hf_doctor *d)
{
	uint64_t times[SYNC_COUNT];
	char block[SYNC_BYTES] = {0};
	int file = open(d->data, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (file < 0) {
		hf_doctor_ok(d, "sync", HF_DOCTOR_TEXT("not measured: %s cannot be written to by this user", d->data));
		return;
	}
	bool is_failed = false;
	for (size_t i = 0; i < SYNC_COUNT && !is_failed; i++) {
		uint64_t from = hf_env_monotonic_us(&d->cli->env);
		is_failed = pwrite(file, block, sizeof block, (off_t)(i * sizeof block)) != (ssize_t)sizeof block || fdatasync(file) < 0;
		times[i] = hf_env_monotonic_us(&d->cli->env) - from;
	}
	int why = errno;
	close(file);
	if (is_failed) {
		hf_doctor_find(d, HF_DOCTOR_FAULT, "sync", HF_DOCTOR_TEXT("Writing and syncing 4 KiB in %s failed: %s.", d->data, strerror(why)),
			"No event can be acknowledged.", "sudo dmesg | tail -50");
		return;
	}
	qsort(times, SYNC_COUNT, sizeof *times, compare_times);
	uint64_t median = times[SYNC_COUNT / 2];
	if (median > SYNC_SLOW_US)
		hf_doctor_find(d, HF_DOCTOR_WARNING, "sync", HF_DOCTOR_TEXT("A sync takes %llu ms.", (unsigned long long)median / 1000),
			"Every OK waits for one; they are shared, so many publishers do not make it worse.",
			HF_DOCTOR_TEXT("findmnt -T %s; iostat -x 1 5", d->data));
	else
		hf_doctor_ok(d, "sync", HF_DOCTOR_TEXT("%llu.%llu ms", (unsigned long long)median / 1000, (unsigned long long)median % 1000 / 100));
}

/* ---- Memory ---- */

/* Of the machine, or of the control group when that has less. */
static uint64_t memory_bytes(void)
{
	struct sysinfo info;
	uint64_t all = sysinfo(&info) == 0 ? (uint64_t)info.totalram * info.mem_unit : UINT64_MAX, group;
	if (hf_doctor_read_number("/sys/fs/cgroup/memory.max", "", &group) && group < all)
		all = group;
	return all;
}

static void look_at_memory(struct hf_doctor *d)
{
	uint64_t all = memory_bytes(), wanted = d->config->memory_bytes_max * 2;
	if (all >= wanted)
		hf_doctor_ok(d, "memory", HF_DOCTOR_TEXT("%s are enough for gateway.memory_max", SIZE(all)));
	else
		hf_doctor_find(d, all < d->config->memory_bytes_max ? HF_DOCTOR_FAULT : HF_DOCTOR_WARNING, "memory",
			HF_DOCTOR_TEXT("The machine has %s; gateway.memory_max = %s wants twice that.", SIZE(all), SIZE(d->config->memory_bytes_max)),
			"Connections may hold as much as memory_max; beside it are the store's tables and the system's cache. The kernel kills who takes too "
				"much.",
			HF_DOCTOR_SET(d, "gateway", "memory_max", HF_DOCTOR_TEXT("%llu MiB", (unsigned long long)(all / 2 / MIB))));
}

void hf_doctor_look_at_machine(struct hf_doctor *d)
{
	look_at_open_files(d);
	look_at_clock(d);
	hf_doctor_ok(d, "time zone", "does not matter: all times are UTC");
	look_at_space(d);
	look_at_file_system(d);
	look_at_sync(d);
	look_at_memory(d);
	hf_doctor_ok(d, "inotify", "does not matter: no file is watched with it");
}
