/* Cutting: of each file all unsynced changes are undone, the newest first, and the ones that survive are done again in their
 * order; changes of names are undone from the end of their list. What survives comes from the seed alone. */
#include "support/power_fs_private.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* splitmix64 */
static uint64_t draw(uint64_t *state)
{
	uint64_t z = *state += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

static bool undo(const struct node *node, const struct change *change)
{
	/* First to the size before, so that what lay behind a lowered end is there to be written. */
	return ftruncate(node->descriptor, (off_t)change->size_before) == 0 &&
	       power_fs_transfer_all(power_fs_write_at, node->descriptor, change->old, change->old_length, change->old_offset);
}

static bool redo_sectors(const struct node *node, const struct change *change, uint64_t *random, bool garbage)
{
	uint64_t end = change->offset + change->length;
	for (uint64_t at = change->offset; at < end;) {
		uint64_t sector_end = (at / POWER_FS_SECTOR_BYTES + 1) * POWER_FS_SECTOR_BYTES;
		uint64_t length = (sector_end < end ? sector_end : end) - at;
		uint8_t noise[POWER_FS_SECTOR_BYTES], *from = change->data + (at - change->offset);
		uint64_t lot = draw(random) % 8;
		if (lot == 0 && garbage) {
			for (size_t i = 0; i < sizeof noise; i++)
				noise[i] = (uint8_t)draw(random);
			from = noise;
		}
		if ((lot == 0 ? garbage : lot < 5) &&
		    !power_fs_transfer_all(power_fs_write_at, node->descriptor, from, length, at))
			return false;
		at += length;
	}
	return true;
}

static bool redo(const struct node *node, const struct change *change, uint64_t *random, enum power_fs_mode mode)
{
	uint64_t lot = draw(random) % 4;
	if (mode == POWER_FS_KEEP_ALL || change->durable)
		lot = 0;
	else if (mode == POWER_FS_DROP_ALL)
		lot = 2;
	if (change->kind == TRUNCATE)
		return lot > 1 || ftruncate(node->descriptor, (off_t)change->offset) == 0;
	if (lot < 2)
		return power_fs_transfer_all(power_fs_write_at, node->descriptor, change->data, change->length, change->offset);
	if (mode == POWER_FS_DROP_ALL)
		return true;
	/* The new size may be there although the bytes are not. */
	uint64_t end = change->offset + change->length;
	if (draw(random) % 2 && end > power_fs_size_of(node->descriptor) && ftruncate(node->descriptor, (off_t)end) < 0)
		return false;
	return lot == 2 || redo_sectors(node, change, random, mode == POWER_FS_GARBAGE);
}

static bool cut_node(struct node *node, uint64_t *random, enum power_fs_mode mode)
{
	struct change *oldest = NULL;
	while (node->newest) {
		struct change *change = node->newest;
		if (!undo(node, change))
			return false;
		node->newest = change->older;
		change->older = oldest;
		oldest = change;
	}
	bool ok = true;
	while (oldest) {
		struct change *newer = oldest->older;
		ok = ok && redo(node, oldest, random, mode);
		power_fs_free_change(oldest);
		oldest = newer;
	}
	return ok;
}

/* Draws for the directory of `name` how many of its changes survive, the oldest first. */
static void choose_prefix(struct power_fs *power, const char *directory, uint64_t *random, enum power_fs_mode mode)
{
	uint64_t count = 0;
	for (struct name_change *name = power->newest_name; name; name = name->older)
		count += strcmp(name->directory, directory) == 0;
	uint64_t lost = mode == POWER_FS_KEEP_ALL ? 0 : mode == POWER_FS_DROP_ALL ? count : draw(random) % (count + 1);
	for (struct name_change *name = power->newest_name; name; name = name->older) {
		if (strcmp(name->directory, directory) != 0)
			continue;
		name->kept = lost == 0;
		lost -= lost > 0;
	}
}

static bool first_of_directory(const struct power_fs *power, const struct name_change *name)
{
	for (const struct name_change *other = power->newest_name; other != name; other = other->older) {
		if (strcmp(other->directory, name->directory) == 0)
			return false;
	}
	return true;
}

static bool undo_name(struct power_fs *power, struct name_change *name)
{
	switch (name->kind) {
	case CREATE:
		return unlink(name->from) == 0;
	case REMOVE:
		return rename(name->grave, name->from) == 0;
	case MAKE_DIRECTORY:
		scratch_remove(name->from);
		return true;
	case RENAME:
		power_fs_retarget_below(name->older, name->to, name->from);
		return rename(name->to, name->from) == 0 && (!name->grave || rename(name->grave, name->to) == 0);
	}
	return false;
}

static bool cut_names(struct power_fs *power, uint64_t *random, enum power_fs_mode mode)
{
	for (struct name_change *name = power->newest_name; name; name = name->older) {
		if (first_of_directory(power, name))
			choose_prefix(power, name->directory, random, mode);
	}
	bool ok = true;
	while (power->newest_name) {
		struct name_change *name = power->newest_name;
		ok &= name->kept || undo_name(power, name);
		power->newest_name = name->older;
		power_fs_free_name(name);
	}
	return ok;
}

int power_fs_cut(struct power_fs *power, uint64_t seed, enum power_fs_mode mode)
{
	uint64_t random = seed;
	pthread_mutex_lock(&power->mutex);
	bool ok = true;
	for (struct node *node = power->nodes; node; node = node->next)
		ok &= cut_node(node, &random, mode);
	ok &= cut_names(power, &random, mode);

	struct node **end = &power->former_nodes;
	while (*end)
		end = &(*end)->next;
	*end = power->nodes;
	power->nodes = NULL;
	for (struct node *node = power->former_nodes; node; node = node->next) {
		if (node->descriptor >= 0)
			close(node->descriptor);
		node->descriptor = -1;
	}
	scratch_remove(power->graveyard);
	scratch_make(power->graveyard);
	power->die_in_syncs = power->fail_in_writes = power->fail_in_syncs = 0;
	power->bytes_left = UINT64_MAX;
	atomic_fetch_add(&power->life, 1);
	atomic_store(&power->dead, false);
	pthread_mutex_unlock(&power->mutex);
	return ok ? HF_OK : HF_EIO;
}
