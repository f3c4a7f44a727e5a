/* power_fs_private: what recording (power_fs.c), cutting (power_fs_cut.c) and control (power_fs_control.c) share. */
#ifndef HF_TEST_POWER_FS_PRIVATE_H
#define HF_TEST_POWER_FS_PRIVATE_H

#include <pthread.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "support/power_fs.h"
#include "support/scratch.h"

enum change_kind { WRITE, TRUNCATE };

struct change {
	struct change *older;
	enum change_kind kind;
	bool at_risk; /* a sync failed since: no later one makes it durable */
	bool durable; /* synced, but kept here because an older one is at risk */
	uint64_t offset, length;    /* what was written; for TRUNCATE offset is the new size */
	uint64_t size_before;
	uint64_t old_offset, old_length;
	uint8_t *data, *old;
};

struct node {
	struct node *next;
	char *path; /* where the file is now */
	int descriptor;
	struct change *newest;
};

enum name_kind { CREATE, REMOVE, RENAME, MAKE_DIRECTORY };

struct name_change {
	struct name_change *older;
	enum name_kind kind;
	char *directory, *from, *to; /* to: the new name of RENAME */
	char *grave;                 /* where the removed or replaced file is, or NULL */
	bool kept;
};

struct handle {
	struct node *node; /* NULL for a directory */
	char *directory;
	unsigned life;
};

struct power_fs {
	struct hf_fs fs;
	pthread_mutex_t mutex;
	struct node *nodes;
	struct node *former_nodes; /* from before a cut; handles may still point to them */
	struct name_change *newest_name;
	char graveyard[SCRATCH_PATH_BYTES];
	uint64_t grave_count;
	_Atomic unsigned life; /* counts cuts */
	_Atomic bool dead;
	uint64_t sync_count, write_count, written_bytes;
	uint64_t die_in_syncs, fail_in_writes, fail_in_syncs; /* 0: never */
	uint64_t bytes_left;
};

void power_fs_free_change(struct change *change);
void power_fs_free_name(struct name_change *name);
uint64_t power_fs_size_of(int descriptor);
/* All of it, by pread or power_fs_write_at. */
bool power_fs_transfer_all(ssize_t (*transfer)(int, void *, size_t, off_t), int descriptor, void *data, uint64_t length,
			   uint64_t offset);
ssize_t power_fs_write_at(int descriptor, void *data, size_t length, off_t offset);
/* A renamed directory takes along the names that changed in it. */
void power_fs_retarget_below(struct name_change *names, const char *from, const char *to);

#endif
