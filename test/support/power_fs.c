/* Recording: what passes to the real files is remembered until a sync makes it durable. A node stands for a file, whatever
 * its name, and keeps its unsynced changes with what they overwrote, the newest first. Changes of names are kept in one
 * list in their order. A removed file is moved to a directory of its own, so that it can come back. */
#include "support/power_fs_private.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* reallocarray and strdup allocate inside libc, which fail_alloc does not reach. */
static void *allocate_zeroed(size_t length)
{
	void *memory = reallocarray(NULL, length ? length : 1, 1);
	if (!memory)
		abort();
	return memset(memory, 0, length);
}

static char *copy_text(const char *text)
{
	char *copy = strdup(text);
	if (!copy)
		abort();
	return copy;
}

/* Without doubled and trailing slashes, so that one file has one name. */
static char *copy_path(const char *path)
{
	char *copy = copy_text(path), *to = copy;
	for (const char *from = path; *from; from++) {
		if (*from == '/' && to > copy && to[-1] == '/')
			continue;
		*to++ = *from;
	}
	if (to > copy + 1 && to[-1] == '/')
		to--;
	*to = '\0';
	return copy;
}

static char *directory_of(const char *path)
{
	char *copy = copy_text(path), *slash = strrchr(copy, '/');
	if (!slash) {
		free(copy);
		return copy_text(".");
	}
	slash[slash == copy] = '\0';
	return copy;
}

static struct power_fs *of(struct hf_fs *fs)
{
	return fs->context;
}

static bool unusable(struct hf_file *file)
{
	struct power_fs *power = of(file->fs);
	const struct handle *handle = file->layer;
	return atomic_load(&power->dead) || handle->life != atomic_load(&power->life);
}

static bool counts_down(uint64_t *counter)
{
	return *counter > 0 && --*counter == 0;
}

static struct node *find_node(struct power_fs *power, const char *path)
{
	struct node *node = power->nodes;
	while (node && strcmp(node->path, path) != 0)
		node = node->next;
	return node;
}

static int node_for(struct power_fs *power, const char *path, struct node **out)
{
	*out = find_node(power, path);
	if (*out)
		return HF_OK;
	int descriptor = open(path, O_RDWR | O_CLOEXEC);
	if (descriptor < 0)
		return HF_EIO;
	struct node *node = allocate_zeroed(sizeof *node);
	node->path = copy_text(path);
	node->descriptor = descriptor;
	node->next = power->nodes;
	power->nodes = node;
	*out = node;
	return HF_OK;
}

void power_fs_free_change(struct change *change)
{
	free(change->data);
	free(change->old);
	free(change);
}

static void free_changes(struct node *node)
{
	while (node->newest) {
		struct change *older = node->newest->older;
		power_fs_free_change(node->newest);
		node->newest = older;
	}
}

static void free_nodes(struct node *node)
{
	while (node) {
		struct node *next = node->next;
		free_changes(node);
		if (node->descriptor >= 0)
			close(node->descriptor);
		free(node->path);
		free(node);
		node = next;
	}
}

void power_fs_free_name(struct name_change *name)
{
	free(name->directory);
	free(name->from);
	free(name->to);
	free(name->grave);
	free(name);
}

static void remember_name(struct power_fs *power, enum name_kind kind, const char *from, const char *to, char *grave)
{
	struct name_change *name = allocate_zeroed(sizeof *name);
	name->kind = kind;
	name->directory = directory_of(from);
	name->from = copy_text(from);
	name->to = to ? copy_text(to) : NULL;
	name->grave = grave;
	name->older = power->newest_name;
	power->newest_name = name;
}

uint64_t power_fs_size_of(int descriptor)
{
	off_t end = lseek(descriptor, 0, SEEK_END);
	return end < 0 ? 0 : (uint64_t)end;
}

bool power_fs_transfer_all(ssize_t (*transfer)(int, void *, size_t, off_t), int descriptor, void *data,
			   uint64_t length, uint64_t offset)
{
	uint64_t done = 0;
	while (done < length) {
		ssize_t n = transfer(descriptor, (uint8_t *)data + done, length - done, (off_t)(offset + done));
		if (n <= 0)
			return false;
		done += (uint64_t)n;
	}
	return true;
}

ssize_t power_fs_write_at(int descriptor, void *data, size_t length, off_t offset)
{
	return pwrite(descriptor, data, length, offset);
}

/* A new change of the node, with what it is about to overwrite. */
static struct change *remember(struct node *node, enum change_kind kind, uint64_t offset, uint64_t length)
{
	struct change *change = allocate_zeroed(sizeof *change);
	uint64_t size = power_fs_size_of(node->descriptor);
	uint64_t end = kind == WRITE && offset + length < size ? offset + length : size;
	change->kind = kind;
	change->offset = offset;
	change->length = length;
	change->size_before = size;
	change->old_offset = offset;
	change->old_length = end > offset ? end - offset : 0;
	change->old = allocate_zeroed(change->old_length);
	if (!power_fs_transfer_all(pread, node->descriptor, change->old, change->old_length, offset))
		abort();
	change->older = node->newest;
	node->newest = change;
	return change;
}

static int power_pwritev_locked(struct power_fs *power, struct node *node, const struct iovec *slices, int count,
				uint64_t offset)
{
	uint64_t length = 0;
	for (int i = 0; i < count; i++)
		length += slices[i].iov_len;
	power->write_count++;
	if (counts_down(&power->fail_in_writes))
		return HF_EIO;
	uint64_t fitting = length < power->bytes_left ? length : power->bytes_left;
	if (power->bytes_left != UINT64_MAX)
		power->bytes_left -= fitting;
	struct change *change = remember(node, WRITE, offset, fitting);
	change->data = allocate_zeroed(length);
	uint64_t filled = 0;
	for (int i = 0; i < count; i++) {
		if (slices[i].iov_len)
			memcpy(change->data + filled, slices[i].iov_base, slices[i].iov_len);
		filled += slices[i].iov_len;
	}
	if (!power_fs_transfer_all(power_fs_write_at, node->descriptor, change->data, fitting, offset))
		return HF_EIO;
	power->written_bytes += fitting;
	return fitting < length ? HF_ENOSPC : HF_OK;
}

static int power_pwritev(struct hf_file *file, const struct iovec *slices, int count, uint64_t offset)
{
	struct power_fs *power = of(file->fs);
	struct node *node = ((struct handle *)file->layer)->node;
	if (unusable(file) || !node)
		return HF_EIO;
	pthread_mutex_lock(&power->mutex);
	int error = power_pwritev_locked(power, node, slices, count, offset);
	pthread_mutex_unlock(&power->mutex);
	return error;
}

static int truncate_node(struct node *node, uint64_t length)
{
	remember(node, TRUNCATE, length, 0);
	return ftruncate(node->descriptor, (off_t)length) < 0 ? HF_EIO : HF_OK;
}

static int power_truncate(struct hf_file *file, uint64_t length)
{
	struct power_fs *power = of(file->fs);
	struct node *node = ((struct handle *)file->layer)->node;
	if (unusable(file) || !node)
		return HF_EIO;
	pthread_mutex_lock(&power->mutex);
	int error = truncate_node(node, length);
	pthread_mutex_unlock(&power->mutex);
	return error;
}

static void make_node_durable(struct node *node)
{
	bool at_risk = false;
	for (struct change *change = node->newest; change; change = change->older)
		at_risk |= change->at_risk;
	if (!at_risk) {
		free_changes(node);
		return;
	}
	for (struct change *change = node->newest; change; change = change->older)
		change->durable = !change->at_risk;
}

static void make_names_durable(struct power_fs *power, const char *directory)
{
	struct name_change **at = &power->newest_name;
	while (*at) {
		struct name_change *name = *at;
		if (strcmp(name->directory, directory) != 0) {
			at = &name->older;
			continue;
		}
		*at = name->older;
		if (name->grave)
			unlink(name->grave);
		power_fs_free_name(name);
	}
}

static int power_sync_locked(struct power_fs *power, struct handle *handle)
{
	power->sync_count++;
	if (counts_down(&power->die_in_syncs)) {
		atomic_store(&power->dead, true);
		return HF_EIO;
	}
	if (counts_down(&power->fail_in_syncs)) {
		for (struct change *change = handle->node ? handle->node->newest : NULL; change; change = change->older)
			change->at_risk = !change->durable;
		return HF_EIO;
	}
	if (handle->node)
		make_node_durable(handle->node);
	else
		make_names_durable(power, handle->directory);
	return HF_OK;
}

static int power_sync(struct hf_file *file)
{
	struct power_fs *power = of(file->fs);
	if (unusable(file))
		return HF_EIO;
	pthread_mutex_lock(&power->mutex);
	int error = power_sync_locked(power, file->layer);
	pthread_mutex_unlock(&power->mutex);
	return error;
}

static int open_locked(struct power_fs *power, struct hf_file *file, const char *path, int flags)
{
	bool existed = access(path, F_OK) == 0;
	struct hf_fs *real = hf_fs_system();
	int error = real->open(real, file, path, flags & ~HF_FILE_TRUNCATE);
	if (error)
		return error;
	struct handle *handle = allocate_zeroed(sizeof *handle);
	handle->life = atomic_load(&power->life);
	file->fs = &power->fs;
	file->layer = handle;
	struct stat status;
	if ((flags & HF_FILE_DIRECTORY) || (fstat(file->descriptor, &status) == 0 && S_ISDIR(status.st_mode))) {
		handle->directory = copy_text(path);
		return HF_OK;
	}
	if (!existed)
		remember_name(power, CREATE, path, NULL, NULL);
	error = node_for(power, path, &handle->node);
	if (!error && (flags & HF_FILE_TRUNCATE) && power_fs_size_of(handle->node->descriptor) > 0)
		error = truncate_node(handle->node, 0);
	if (error)
		hf_file_close(file);
	return error;
}

static int power_open(struct hf_fs *fs, struct hf_file *file, const char *path, int flags)
{
	struct power_fs *power = of(fs);
	if (atomic_load(&power->dead))
		return HF_EIO;
	char *clean = copy_path(path);
	pthread_mutex_lock(&power->mutex);
	int error = open_locked(power, file, clean, flags);
	pthread_mutex_unlock(&power->mutex);
	free(clean);
	return error;
}

static void power_close(struct hf_file *file)
{
	struct handle *handle = file->layer;
	hf_fs_system()->close(file);
	free(handle->directory);
	free(handle);
}

static int power_pread(struct hf_file *file, void *data, size_t length, uint64_t offset, size_t *done)
{
	*done = 0;
	return unusable(file) ? HF_EIO : hf_fs_system()->pread(file, data, length, offset, done);
}

static int power_pread_resident(struct hf_file *file, void *data, size_t length, uint64_t offset, size_t *done)
{
	*done = 0;
	return unusable(file) ? HF_EIO : hf_fs_system()->pread_resident(file, data, length, offset, done);
}

static int power_start_writeback(struct hf_file *file, uint64_t offset, uint64_t length)
{
	return unusable(file) ? HF_EIO : HF_OK;
}

static int power_allocate(struct hf_file *file, uint64_t offset, uint64_t length)
{
	struct power_fs *power = of(file->fs);
	if (unusable(file))
		return HF_EIO;
	pthread_mutex_lock(&power->mutex);
	uint64_t left = power->bytes_left;
	pthread_mutex_unlock(&power->mutex);
	/* What is allocated already does not need room again; what lies past the size is taken as new. */
	uint64_t size = power_fs_size_of(((struct handle *)file->layer)->node->descriptor);
	uint64_t end = offset + length;
	if (left != UINT64_MAX && end > size && end - (offset > size ? offset : size) > left)
		return HF_ENOSPC;
	return hf_fs_system()->allocate(file, offset, length);
}

static int power_size(struct hf_file *file, uint64_t *length)
{
	return unusable(file) ? HF_EIO : hf_fs_system()->size(file, length);
}

static int power_map(struct hf_file *file, uint64_t length, const uint8_t **data)
{
	*data = NULL;
	return unusable(file) ? HF_EIO : hf_fs_system()->map(file, length, data);
}

static void power_unmap(struct hf_file *file, const uint8_t *data, uint64_t length)
{
	hf_fs_system()->unmap(file, data, length);
}

/* What was named from, or lay in it, is named to. */
static void retarget_text(char **text, const char *from, const char *to)
{
	size_t length = strlen(from);
	if (!*text || strncmp(*text, from, length) != 0 || ((*text)[length] != '\0' && (*text)[length] != '/'))
		return;
	size_t size = strlen(to) + strlen(*text + length) + 1;
	char *fresh = allocate_zeroed(size);
	snprintf(fresh, size, "%s%s", to, *text + length);
	free(*text);
	*text = fresh;
}

static void retarget_nodes(struct power_fs *power, const char *from, const char *to)
{
	for (struct node *node = power->nodes; node; node = node->next)
		retarget_text(&node->path, from, to);
}

void power_fs_retarget_below(struct name_change *names, const char *from, const char *to)
{
	for (struct name_change *name = names; name; name = name->older) {
		size_t length = strlen(from);
		if (strncmp(name->directory, from, length) != 0 ||
		    (name->directory[length] != '\0' && name->directory[length] != '/'))
			continue;
		retarget_text(&name->directory, from, to);
		retarget_text(&name->from, from, to);
		retarget_text(&name->to, from, to);
	}
}

/* Moves a file that is removed or replaced out of the way; NULL when there is none. */
static char *bury(struct power_fs *power, const char *path)
{
	char grave[SCRATCH_PATH_BYTES + 24];
	snprintf(grave, sizeof grave, "%s/%llu", power->graveyard, (unsigned long long)power->grave_count++);
	if (rename(path, grave) < 0)
		return NULL;
	retarget_nodes(power, path, grave);
	return copy_text(grave);
}

static int rename_locked(struct power_fs *power, const char *from, const char *to)
{
	char *from_directory = directory_of(from), *to_directory = directory_of(to);
	bool same = strcmp(from_directory, to_directory) == 0;
	free(from_directory);
	free(to_directory);
	if (!same)
		return HF_EINVAL;
	if (access(from, F_OK) < 0)
		return HF_ENOTFOUND;
	if (strcmp(from, to) == 0)
		return HF_OK;
	char *grave = bury(power, to);
	int error = hf_fs_system()->rename(hf_fs_system(), from, to);
	if (error) {
		free(grave);
		return error;
	}
	retarget_nodes(power, from, to);
	power_fs_retarget_below(power->newest_name, from, to);
	remember_name(power, RENAME, from, to, grave);
	return HF_OK;
}

static int power_rename(struct hf_fs *fs, const char *from, const char *to)
{
	struct power_fs *power = of(fs);
	if (atomic_load(&power->dead))
		return HF_EIO;
	char *clean_from = copy_path(from), *clean_to = copy_path(to);
	pthread_mutex_lock(&power->mutex);
	int error = rename_locked(power, clean_from, clean_to);
	pthread_mutex_unlock(&power->mutex);
	free(clean_from);
	free(clean_to);
	return error;
}

static int power_unlink(struct hf_fs *fs, const char *path)
{
	struct power_fs *power = of(fs);
	if (atomic_load(&power->dead))
		return HF_EIO;
	char *clean = copy_path(path);
	pthread_mutex_lock(&power->mutex);
	char *grave = bury(power, clean);
	if (grave)
		remember_name(power, REMOVE, clean, NULL, grave);
	pthread_mutex_unlock(&power->mutex);
	free(clean);
	return grave ? HF_OK : HF_ENOTFOUND;
}

static int power_make_directory(struct hf_fs *fs, const char *path, unsigned mode)
{
	struct power_fs *power = of(fs);
	if (atomic_load(&power->dead))
		return HF_EIO;
	char *clean = copy_path(path);
	pthread_mutex_lock(&power->mutex);
	int error = hf_fs_system()->make_directory(hf_fs_system(), clean, mode);
	if (!error)
		remember_name(power, MAKE_DIRECTORY, clean, NULL, NULL);
	pthread_mutex_unlock(&power->mutex);
	free(clean);
	return error;
}

static int power_list(struct hf_fs *fs, const char *path, int (*each)(void *context, const char *name), void *context)
{
	if (atomic_load(&of(fs)->dead))
		return HF_EIO;
	return hf_fs_system()->list(hf_fs_system(), path, each, context);
}

static int power_free_bytes(struct hf_fs *fs, const char *path, uint64_t *bytes)
{
	struct power_fs *power = of(fs);
	if (atomic_load(&power->dead))
		return HF_EIO;
	pthread_mutex_lock(&power->mutex);
	uint64_t left = power->bytes_left;
	pthread_mutex_unlock(&power->mutex);
	int error = hf_fs_system()->free_bytes(hf_fs_system(), path, bytes);
	if (!error && left < *bytes)
		*bytes = left;
	return error;
}

struct power_fs *power_fs_new(void)
{
	struct power_fs *power = allocate_zeroed(sizeof *power);
	power->fs = (struct hf_fs){
		.context = power,
		.open = power_open,
		.close = power_close,
		.pread = power_pread,
		.pread_resident = power_pread_resident,
		.pwritev = power_pwritev,
		.sync = power_sync,
		.start_writeback = power_start_writeback,
		.allocate = power_allocate,
		.truncate = power_truncate,
		.size = power_size,
		.map = power_map,
		.unmap = power_unmap,
		.rename = power_rename,
		.unlink = power_unlink,
		.make_directory = power_make_directory,
		.list = power_list,
		.free_bytes = power_free_bytes,
	};
	power->bytes_left = UINT64_MAX;
	pthread_mutex_init(&power->mutex, NULL);
	scratch_make(power->graveyard);
	return power;
}

static void free_names(struct power_fs *power)
{
	while (power->newest_name) {
		struct name_change *older = power->newest_name->older;
		power_fs_free_name(power->newest_name);
		power->newest_name = older;
	}
}

void power_fs_free(struct power_fs *power)
{
	free_names(power);
	free_nodes(power->nodes);
	free_nodes(power->former_nodes);
	scratch_remove(power->graveyard);
	pthread_mutex_destroy(&power->mutex);
	free(power);
}

struct hf_fs *power_fs_fs(struct power_fs *power)
{
	return &power->fs;
}
