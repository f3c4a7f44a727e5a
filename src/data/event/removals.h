/* removals: what left a relay, kept for who follows it.
 *
 * What comes into a relay can be read from the store again in order of arrival (hf_snapshot_scan); what was removed cannot. So once
 * removals of a collection are KEPT, the commit that removes events, because they were deleted, replaced or had expired, also notes
 * their ids in a table. Who follows the collection takes the notes and forgets them.
 *
 * A note says that an event was removed at its position, not that it is gone: it may have come again since. So look whether it is
 * there in a snapshot whose position is above the note's.
 *
 * The table: key be32 collection, be64 position of the commit, value the ids, 32 bytes each; and of each collection that is or was
 * followed the key be32 collection alone, its value a byte, 1 while removals are kept, and then the follower's mark. */
#ifndef HF_DATA_EVENT_REMOVALS_H
#define HF_DATA_EVENT_REMOVALS_H

#include "store/store.h"

#define HF_REMOVALS_TABLE 2

/* Begins with keeping them, and remembers mark. */
int hf_removals_keep(struct hf_tx *tx, uint32_t collection, struct hf_slice mark);
/* Ends it; mark is still remembered, and the notes that are there stay until they are forgotten. */
int hf_removals_end(struct hf_tx *tx, uint32_t collection);
/* Appends what was given to keep. HF_ENOTFOUND: nobody ever followed. */
int hf_removals_mark(struct hf_store *store, uint32_t collection, bool *is_kept, struct hf_buffer *mark);

/* For the stage that removes them: ids is nothing but ids. Does nothing when they are not kept, or for no ids. */
int hf_removals_note(struct hf_tx *tx, uint32_t collection, struct hf_slice ids);

/* Appends the notes of commits below a position, oldest first: their positions (le64 each) and their ids, until there are id_count_max
 * or more of these. *more: there is another. HF_ENOMEM. */
int hf_removals_read(struct hf_store *store, uint32_t collection, uint64_t below, size_t id_count_max, struct hf_buffer *positions,
	struct hf_buffer *ids, bool *more);
/* positions: as they were read. */
int hf_removals_forget(struct hf_tx *tx, uint32_t collection, struct hf_slice positions);

#endif
