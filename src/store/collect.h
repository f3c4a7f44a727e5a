/* collect: giving back the space of log records that nothing needs any more. (Private to store/.) */
#ifndef HF_STORE_COLLECT_H
#define HF_STORE_COLLECT_H

#include "store/state.h"

/* Rewrites the log segment with the largest share of garbage, when it is over the threshold and lies wholly below the
 * replay position. 1: one was rewritten, 0: nothing to do, or an error. */
int hf_collect_one(struct hf_store *store);

#endif
