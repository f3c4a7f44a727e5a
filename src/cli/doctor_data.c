/* doctor_data: the data directory: whose it is, who holds it, and whether what is in it is sound. LOCK is not taken for that, as a gateway
 * that starts in the same moment would be refused: the kernel tells who holds it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cli/doctor.h"
#include "crypto/hash.h"
#include "net/http_client.h"
#include "service/datadir.h"

#define SOUND_LOOK_MS 2000                    /* to wait for a gateway's answer */
#define VERIFY_BYTES_MAX (UINT64_C(256) << 20) /* read within a second or two */

static bool path_in(const struct hf_doctor *d, const char *name, char out[static HF_PATH_BYTES_MAX])
{
	return hf_path_join(out, d->config->data, name) == HF_OK;
}

/* The folder that the data directory would be made in. */
static void find_parent(struct hf_doctor *d)
{
	char *slash;
	while (stat(d->data, &d->data_status) < 0 && (slash = strrchr(d->data, '/')) != NULL && slash != d->data)
		*slash = '\0';
	if (stat(d->data, &d->data_status) < 0)
		snprintf(d->data, sizeof d->data, "%s", d->data[0] == '/' ? "/" : ".");
	if (stat(d->data, &d->data_status) < 0)
		d->data_status = (struct stat){0};
}

static void find_directory(struct hf_doctor *d)
{
	snprintf(d->data, sizeof d->data, "%s", d->config->data);
	d->has_data = stat(d->data, &d->data_status) == 0 && S_ISDIR(d->data_status.st_mode);
	if (d->has_data)
		return;
	bool is_file = stat(d->data, &d->data_status) == 0;
	if (is_file)
		hf_doctor_find(d, HF_DOCTOR_FAULT, "data directory", HF_DOCTOR_TEXT("%s is not a directory.", d->config->data),
			"Everything that is kept is kept there.", HF_DOCTOR_TEXT("mv %s %s.old", d->config->data, d->config->data));
	find_parent(d);
	if (is_file)
		return;
	if (access(d->data, W_OK) < 0)
		hf_doctor_find(d, HF_DOCTOR_FAULT, "data directory", HF_DOCTOR_TEXT("There is none at %s, and this user cannot make one in %s.",
			d->config->data, d->data), "A gateway makes it when it first starts, as the user that it runs as.",
			HF_DOCTOR_TEXT("sudo install -d -m 0700 -o %u -g %u %s", (unsigned)geteuid(), (unsigned)getegid(), d->config->data));
	else
		hf_doctor_ok(d, "data directory", HF_DOCTOR_TEXT("none yet at %s; it is made at the first start", d->config->data));
}

/* ---- Who may ---- */

static void look_at_file(struct hf_doctor *d, const char *name, bool *is_well)
{
	char path[HF_PATH_BYTES_MAX];
	struct stat status;
	if (!path_in(d, name, path) || stat(path, &status) < 0 || !(status.st_mode & 077))
		return;
	*is_well = false;
	hf_doctor_find(d, HF_DOCTOR_FAULT, "secrets", HF_DOCTOR_TEXT("%s can be read by others (mode %03o).", path, status.st_mode & 0777),
		"Who reads the keys can speak in the relay's name, and read what is encrypted with them.",
		S_ISDIR(status.st_mode) ? HF_DOCTOR_TEXT("chmod -R go= %s", path) : HF_DOCTOR_TEXT("chmod go= %s", path));
}

static int look_at_key(void *context, const char *name)
{
	struct { struct hf_doctor *d; bool is_well; } *look = context;
	char inner[HF_PATH_BYTES_MAX];
	if (snprintf(inner, sizeof inner, "keys/%s", name) < (int)sizeof inner)
		look_at_file(look->d, inner, &look->is_well);
	return HF_OK;
}

static void look_at_permissions(struct hf_doctor *d)
{
	struct { struct hf_doctor *d; bool is_well; } look = {d, true};
	char path[HF_PATH_BYTES_MAX];
	if (d->data_status.st_mode & 077) {
		look.is_well = false;
		hf_doctor_find(d, HF_DOCTOR_WARNING, "permissions", HF_DOCTOR_TEXT("%s can be entered by others (mode %03o).", d->config->data,
			d->data_status.st_mode & 0777), "What is private on the relay, and admin.sock, are in it.", HF_DOCTOR_TEXT("chmod 0700 %s",
				d->config->data));
	}
	if (geteuid() != 0 && d->data_status.st_uid != geteuid()) {
		look.is_well = false;
		hf_doctor_find(d, HF_DOCTOR_FAULT, "permissions", HF_DOCTOR_TEXT("%s belongs to user %u; you are %u.", d->config->data,
			(unsigned)d->data_status.st_uid, (unsigned)geteuid()), "A process of yours cannot use it. Nothing in it was looked at.",
			HF_DOCTOR_TEXT("sudo -u '#%u' holdfast doctor --data %s", (unsigned)d->data_status.st_uid, d->config->data));
	}
	look_at_file(d, "keys", &look.is_well);
	if (path_in(d, "keys", path))
		d->cli->env.fs->list(d->cli->env.fs, path, look_at_key, &look);
	if (look.is_well)
		hf_doctor_ok(d, "permissions", "the data directory and the keys are closed to others");
}

/* ---- Who has it ---- */

/* The process that /proc/locks says has locked the file; 0: none, -1: one of another container. */
static pid_t locked_by(const struct stat *file)
{
	char line[256];
	pid_t holder = 0;
	FILE *locks = fopen("/proc/locks", "re");
	while (locks && holder == 0 && fgets(line, sizeof line, locks)) {
		unsigned major_number, minor_number;
		unsigned long inode;
		int process;
		/* "1: FLOCK  ADVISORY  WRITE 4711 fe:00:1234 0 EOF"; devices of overlay file systems are told otherwise, so the inode decides. */
		if (strstr(line, "->") || sscanf(line, "%*d: FLOCK %*s %*s %d %x:%x:%lu", &process, &major_number, &minor_number, &inode) != 4)
			continue;
		if (inode == file->st_ino)
			holder = process > 0 ? process : -1;
	}
	if (locks)
		fclose(locks);
	return holder;
}

static void ask_holder(struct hf_doctor *d, const char *socket_path)
{
	struct hf_buffer text = {0};
	struct hf_failure failure = {0};
	unsigned status = 0;
	struct hf_http_client_request request = {.size = sizeof request, .url = "http://localhost/admin/health", .unix_path = socket_path,
		.timeout_ms = SOUND_LOOK_MS};
	if (hf_http_client_fetch(&d->cli->env, &request, &status, &text, &failure) == HF_OK)
		d->health = json_loadb((const char *)text.data, text.length, 0, NULL);
	d->holder_answers = d->health != NULL;
	hf_buffer_free(&text);
}

static void look_at_lock(struct hf_doctor *d)
{
	char path[HF_PATH_BYTES_MAX], socket_path[HF_PATH_BYTES_MAX];
	struct stat status;
	if (!path_in(d, "LOCK", path) || stat(path, &status) < 0 || !path_in(d, "admin.sock", socket_path)) {
		hf_doctor_ok(d, "lock", "nobody uses the data directory");
		return;
	}
	d->holder = locked_by(&status);
	if (d->holder == 0) {
		hf_doctor_ok(d, "lock", "nobody uses the data directory");
		return;
	}
	ask_holder(d, socket_path);
	if (d->holder_answers)
		hf_doctor_ok(d, "lock", HF_DOCTOR_TEXT("in use by process %d, which answers", (int)d->holder));
	else if (d->holder > 0 && access(socket_path, F_OK) < 0)
		hf_doctor_find(d, HF_DOCTOR_WARNING, "lock", HF_DOCTOR_TEXT("Process %d uses the data directory, and has no admin.sock in it.",
			(int)d->holder),
			"It is a command that works on the directory, or something that holds LOCK: no gateway can start meanwhile.",
			HF_DOCTOR_TEXT("ps -fp %d", (int)d->holder));
	else
		hf_doctor_find(d, HF_DOCTOR_FAULT, "lock", HF_DOCTOR_TEXT("Process %d uses the data directory, and does not answer within 2 s.",
			(int)d->holder),
			"It hangs, is stopped, or belongs to another user: commands cannot work through it, and no other can start.",
			HF_DOCTOR_TEXT("ps -fp %d; kill %d", (int)d->holder, (int)d->holder));
}

/* ---- What is in it ---- */

static void look_at_health(struct hf_doctor *d)
{
	size_t i;
	json_t *reason;
	bool is_well = true;
	json_array_foreach(json_object_get(d->health, "reasons"), i, reason) {
		const char *name = json_string_value(json_object_get(reason, "name"));
		is_well = false;
		hf_doctor_find(d, HF_DOCTOR_WARNING, "running gateway", HF_DOCTOR_TEXT("%s: %s", name ? name : "", json_string_value(
			json_object_get(reason, "why"))), "The gateway itself says so of itself.", HF_DOCTOR_TEXT("holdfast admin health --data %s",
				d->config->data));
	}
	if (is_well)
		hf_doctor_ok(d, "running gateway", "says that it is well");
}

static void find_in_store(struct hf_doctor *d, int code, const char *what)
{
	hf_doctor_find(d, HF_DOCTOR_FAULT, code == HF_ECORRUPT ? "store" : "data directory", what,
		"What cannot be read cannot be served, and a gateway may not start on it.",
		HF_DOCTOR_TEXT("holdfast store verify --data %s", d->config->data));
}

static void note_fault(void *context, const char *sentence)
{
	char *first = context;
	if (!first[0])
		snprintf(first, HF_DOCTOR_TEXT_BYTES, "%s", sentence);
}

/* A small store is read whole, of a large one what a start reads. */
static void tell_of_store(struct hf_doctor *d, struct hf_store *store)
{
	struct hf_store_stats stats;
	char first[HF_DOCTOR_TEXT_BYTES] = "";
	hf_store_stats(store, &stats);
	bool is_small = stats.disk_bytes <= VERIFY_BYTES_MAX;
	int r = is_small ? hf_store_verify(store, note_fault, first) : HF_OK;
	hf_store_stats(store, &stats);
	if (r < 0 || stats.corrupt_count > 0)
		find_in_store(d, HF_ECORRUPT, first[0] ? first : HF_DOCTOR_TEXT("%llu records or blocks do not match their checksums.",
			(unsigned long long)stats.corrupt_count));
	else
		hf_doctor_ok(d, "store", HF_DOCTOR_TEXT("%llu events; %s", (unsigned long long)stats.doc_count,
			is_small ? "every checksum is right" : "it opens, and `holdfast store verify` reads all of it"));
}

/* As a reader, who writes nothing. */
static void look_at_store(struct hf_doctor *d)
{
	struct hf_datadir directory = {.env = &d->cli->env, .lock_descriptor = -1};
	struct hf_failure failure = {0};
	struct hf_store *store = NULL;
	char path[HF_PATH_BYTES_MAX];
	struct stat status;
	snprintf(directory.path, sizeof directory.path, "%s", d->config->data);
	if (!path_in(d, "store", path) || stat(path, &status) < 0) {
		hf_doctor_ok(d, "store", "none yet");
		return;
	}
	int r = hf_crypto_init();
	if (r == HF_OK)
		r = hf_datadir_open_store(&directory, d->config, NULL, true, &store, &failure);
	if (r == HF_OK) {
		tell_of_store(d, store);
		hf_store_close(store);
	} else if (r != HF_EDENIED) {
		find_in_store(d, r, failure.text[0] ? failure.text : hf_error_text(r));
	}
}

static void look_at_format(struct hf_doctor *d)
{
	char path[HF_PATH_BYTES_MAX], line[64] = {0};
	unsigned version = 0;
	FILE *file = path_in(d, "FORMAT", path) ? fopen(path, "re") : NULL;
	bool is_there = file || errno != ENOENT, is_read = file && fgets(line, sizeof line, file) && sscanf(line, "holdfast %u", &version) == 1;
	if (file)
		fclose(file);
	if (!is_there && access(d->config->data, R_OK | X_OK) == 0 && path_in(d, "store", path) && access(path, F_OK) < 0)
		return;
	if (!is_read || version != HF_DATADIR_FORMAT_VERSION)
		hf_doctor_find(d, HF_DOCTOR_FAULT, "data directory", HF_DOCTOR_TEXT("%s/FORMAT does not say \"holdfast %d\".", d->config->data,
			HF_DATADIR_FORMAT_VERSION), "This program reads no other format: the directory is another program's, or a newer version's.",
			HF_DOCTOR_TEXT("ls -la %s; cat %s/FORMAT; holdfast version", d->config->data, d->config->data));
}

void hf_doctor_look_at_data(struct hf_doctor *d)
{
	find_directory(d);
	if (!d->has_data || !d->is_config_right)
		return;
	look_at_permissions(d);
	if (access(d->config->data, R_OK | X_OK) < 0)
		return;
	look_at_lock(d);
	look_at_format(d);
	if (d->health)
		look_at_health(d);
	else if (d->holder == 0)
		look_at_store(d);
}
