/* collect: giving back the space of log records that nothing needs any more. (Private to store/.)
 *
 * What a rewrite keeps:
 *   document     when the index has it, alive, at this very position
 *   DELETE       while its victim can still be read, so that an index built anew from the log does not raise it
 *   DROP         while there are segments in front of its own: the same, for a whole collection
 *   block        when the block index points here
 * Everything else below the replay position (tables, changes of logs, group marks) is in snapshots and runs.
 */
#ifndef HF_STORE_COLLECT_H
#define HF_STORE_COLLECT_H

#include "store/state.h"

#define HF_COLLECT_LIVE_PERCENT 70

/* Rewrites the log segment with the largest share of garbage, when less than live_percent of it is live and it lies wholly
 * below the replay position. One in which nothing is live is removed. wait: for another collection, or the rebuilding of an
 * index, to end; else that counts as nothing to do. 1: one was rewritten; 0: nothing to do; or an error. */
int hf_collect_one(struct hf_store *store, unsigned live_percent, bool wait);

#endif
