/* front_seen: which events a subscription has delivered of late, so that another worker's copies of them can be told. (Private to
 * service/gateway/.)
 *
 * While all goes well this is a list that is only added to; a table is made of it when a subscription moves. That table stays with the new
 * worker, to whom the old one's events may be copied at any time, and grows until that worker has caught up: what it delivers later it
 * does not deliver again. Past HF_FRONT_SEEN_MAX events the older half is forgotten: those may be delivered again, none is missed for it.
 */
#ifndef HF_SERVICE_GATEWAY_FRONT_SEEN_H
#define HF_SERVICE_GATEWAY_FRONT_SEEN_H

#include "base/error.h"
#include "base/u64_map.h"

#define HF_FRONT_SEEN_MAX 16384
#define HF_FRONT_SEEN_ALL_MAX 400 /* as long as there are no more, none is forgotten, however old; relays give 500 in one answer */

struct hf_front_seen_event {
	uint64_t id; /* its first 8 bytes */
	uint64_t created_at_s;
};

/* Zero-initialise. */
struct hf_front_seen {
	struct hf_front_seen_event *events;
	size_t count, capacity;
	struct hf_u64_map known;
	bool is_checking;
	bool has_forgotten; /* it is not all that was delivered */
};

void hf_front_seen_free(struct hf_front_seen *seen); /* leaves it empty */
size_t hf_front_seen_bytes(const struct hf_front_seen *seen);
/* Adds one. Those created before since_s need not be kept, which is used when the list is full. Without memory it is not noted. */
void hf_front_seen_note(struct hf_front_seen *seen, const uint8_t id[static 32], uint64_t created_at_s, uint64_t since_s);
void hf_front_seen_trim(struct hf_front_seen *seen, uint64_t since_s); /* forgets what is older, unless there is little of it */
/* From now on hf_front_seen_knows answers, for what was noted until end_check. HF_ENOMEM: it does for a part. */
int hf_front_seen_check(struct hf_front_seen *seen, uint64_t seed);
void hf_front_seen_end_check(struct hf_front_seen *seen);
bool hf_front_seen_knows(const struct hf_front_seen *seen, const uint8_t id[static 32]);

#endif
