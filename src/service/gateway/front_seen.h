/* front_seen: which events a subscription has delivered of late, so that another worker's copies of them can be told. (Private to
 * service/gateway/.)
 *
 * While all goes well this is a list that is only added to, in the order of delivery; when a subscription moves, a sorted copy of its ids
 * is made. That copy stays with the new worker, to whom the old one's events may be copied at any time, and grows until that worker has
 * caught up: what it delivers later it does not deliver again.
 *
 * What is kept, and so is not delivered again: the last HF_FRONT_SEEN_ALL_MAX events, those of the last HF_FRONT_SEEN_KEPT_S seconds, and
 * those that are dated within the overlap; of these at most HF_FRONT_SEEN_MAX, at which the older half is forgotten. What is forgotten may
 * be delivered again; nothing is missed for it. A subscription takes at most 24 bytes for each, which is 384 KiB.
 */
#ifndef HF_SERVICE_GATEWAY_FRONT_SEEN_H
#define HF_SERVICE_GATEWAY_FRONT_SEEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HF_FRONT_SEEN_MAX 16384
#define HF_FRONT_SEEN_ALL_MAX 512 /* as long as there are no more, none is forgotten; relays give 500 in one answer */
#define HF_FRONT_SEEN_KEPT_S 300

struct hf_front_seen_event {
	uint64_t id; /* its first 8 bytes */
	uint32_t given; /* when it was delivered, in 64ths of a second */
	uint32_t created_at_s;
};

/* Zero-initialise. */
struct hf_front_seen {
	struct hf_front_seen_event *events;
	size_t count, capacity;
	uint64_t *known;       /* ids: sorted ones, and behind them a few that are not */
	size_t known_count, known_capacity, sorted_count;
	uint64_t newest_s;     /* the latest date of them all, also of what is forgotten */
	bool is_checking, was_checked;
	bool has_forgotten;    /* it is not all that was delivered */
};

void hf_front_seen_free(struct hf_front_seen *seen); /* leaves it empty */
size_t hf_front_seen_bytes(const struct hf_front_seen *seen);
/* The latest date that is believed: now, or when what came last is dated, if that is earlier. A clock that is wrong, or an event that is
 * dated ahead, does not move it past both. */
uint64_t hf_front_seen_latest_s(const struct hf_front_seen *seen, uint64_t now_s);
/* Adds one, delivered at now_us (monotonic). Those dated since_s or later are kept. HF_ENOMEM: it is not noted, and would come again. */
int hf_front_seen_note(struct hf_front_seen *seen, const uint8_t id[static 32], uint64_t created_at_s, uint64_t now_us, uint64_t since_s);
void hf_front_seen_trim(struct hf_front_seen *seen, uint64_t now_us, uint64_t since_s); /* forgets what need not be kept */
/* From now on hf_front_seen_knows answers, for what was noted until end_check. Without memory for the copy it looks through the list. */
void hf_front_seen_check(struct hf_front_seen *seen);
void hf_front_seen_end_check(struct hf_front_seen *seen);
bool hf_front_seen_knows(const struct hf_front_seen *seen, const uint8_t id[static 32]);

#endif
