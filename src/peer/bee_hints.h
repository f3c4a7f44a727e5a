/* bee_hints: the extension `hyperbee` (wire/bee_hint.h) on all cores of a replicator: peers that read a bee are told which blocks what they
 * look for will come to, and those who read a bee here ask their peers the same.
 *
 * Answering takes what is held and resident, never waits, and reads a bounded number of blocks between two ticks for all peers together;
 * what is asked beyond is dropped. What an answer names is fetched only as far as something was asked.
 */
#ifndef HF_PEER_BEE_HINTS_H
#define HF_PEER_BEE_HINTS_H

#include "data/hyperbee/bee.h"
#include "peer/replicator.h"

#define HF_BEE_HINTS_READ_COUNT_MAX 8192     /* blocks looked at between two ticks, for all peers */
#define HF_BEE_HINTS_ANSWER_COUNT_MAX 2176   /* blocks that one question is answered with */
#define HF_BEE_HINTS_FETCH_COUNT_MAX 4096    /* blocks that one reader waits for because of answers */

struct hf_bee_hints;
struct hf_bee_asker;

/* Before the replicator has streams; freed after its streams are detached, and after all askers. HF_ENOMEM. */
HF_API int hf_bee_hints_new(struct hf_bee_hints **out, struct hf_replicator *replicator);
HF_API void hf_bee_hints_free(struct hf_bee_hints *hints); /* NULL is fine */
HF_API void hf_bee_hints_tick(struct hf_bee_hints *hints); /* with the replicator's */

/* For a bee that is read on a core that is joined: its hinter, for hf_bee_options. Freed after the bee is closed and before the core is
 * left. HF_ENOMEM. */
HF_API int hf_bee_hints_ask(struct hf_bee_hints *hints, struct hf_replication *replication, struct hf_bee_asker **out);
HF_API struct hf_bee_hinter *hf_bee_asker_hinter(struct hf_bee_asker *asker);
HF_API void hf_bee_asker_free(struct hf_bee_asker *asker); /* what it waits for is not waited for any more; NULL is fine */

#endif
