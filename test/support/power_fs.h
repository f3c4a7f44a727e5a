/* power_fs: a struct hf_fs over real files that can lose what was not yet synced, as a power cut does.
 *
 * Operations pass to real files at once, so reads and mappings see them; but every write, truncation, creation,
 * rename, removal and new directory is remembered until it is durable: data and size by hf_file_sync on the file,
 * names by hf_file_sync on the directory that holds them. Nothing is ever really synced, so it is fast.
 *
 * A power-cut test:
 *
 *     struct power_fs *power = power_fs_new();
 *     power_fs_die_at_sync(power, n);         // the n-th sync from now fails, and all after it
 *     ... open a store with power_fs_fs(power), work until HF_EIO, note what was acknowledged, close it ...
 *     power_fs_cut(power, seed, POWER_FS_GARBAGE);
 *     ... open the store again with the same fs and look ...
 *
 * What a cut may leave, more than any one file system would:
 * - of a file's unsynced writes each is kept, dropped, or torn at sectors of 512 bytes; whatever was dropped
 *   past the old end reads as zeros or is cut off;
 * - an unsynced truncation is kept or dropped;
 * - of each directory's unsynced changes of names a prefix in their order is kept. A synced file whose creation
 *   was not synced in its directory may be gone;
 * - after a sync that failed, what it should have made durable stays at risk although a later sync succeeds.
 *
 * Limits: renames stay within one directory; hard links and holes are not modelled; all files are opened through the
 * layer. Thread-safe, but for power_fs_cut, which needs quiet. Its own memory never comes from
 * the allocations that fail_alloc.h makes fail.
 */
#ifndef HF_TEST_POWER_FS_H
#define HF_TEST_POWER_FS_H

#include "base/file.h"

#define POWER_FS_SECTOR_BYTES 512

enum power_fs_mode {
	POWER_FS_KEEP_ALL, /* as if the process alone had died */
	POWER_FS_DROP_ALL, /* only what was synced */
	POWER_FS_RANDOM,   /* as described above */
	POWER_FS_GARBAGE,  /* the same, and sectors of torn writes may hold random bytes */
};

struct power_fs;

/* Ends the process when memory is out or the directory for removed files cannot be made. */
struct power_fs *power_fs_new(void);
/* Everything opened through it must be closed; the files stay as they are. */
void power_fs_free(struct power_fs *power);
struct hf_fs *power_fs_fs(struct power_fs *power);

/* The n-th sync from now (1 is the next; 0 disarms) fails with HF_EIO without effect, and so does every
 * operation from then on, until the cut. */
void power_fs_die_at_sync(struct power_fs *power, uint64_t n);
void power_fs_die_now(struct power_fs *power);
bool power_fs_is_dead(struct power_fs *power);
/* Rewrites the files to a state that a cut at this moment could leave, forgets what it remembered and revives the
 * layer, with faults disarmed. Files still open from before answer HF_EIO. The same seed after the same
 * operations leaves the same state. HF_EIO when the files cannot be rewritten. */
int power_fs_cut(struct power_fs *power, uint64_t seed, enum power_fs_mode mode);

/* Since the layer was made. */
uint64_t power_fs_sync_count(struct power_fs *power);
uint64_t power_fs_write_count(struct power_fs *power);
uint64_t power_fs_written_bytes(struct power_fs *power);

/* Faults, each until the cut or disarmed. */
/* After so many more bytes writes fail with HF_ENOSPC, the last one having written what still fitted;
 * UINT64_MAX disarms. free_bytes tells what is left. */
void power_fs_limit_bytes(struct power_fs *power, uint64_t bytes);
/* The n-th write (sync) from now fails once with HF_EIO; 0 disarms. A failed write has written nothing. */
void power_fs_fail_write(struct power_fs *power, uint64_t n);
void power_fs_fail_sync(struct power_fs *power, uint64_t n);
/* Inverts bit 0 to 7 of the byte at offset, as a failing disk does. HF_ENOTFOUND, or HF_EINVAL past the end. */
int power_fs_flip_bit(struct power_fs *power, const char *path, uint64_t offset, unsigned bit);

#endif
