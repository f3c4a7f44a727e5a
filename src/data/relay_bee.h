/* relay_bee: a relay's events as the rows of a Hyperbee, in which anybody can look them up: the event under its id, and rows that lead to
 * it by time, kind, author and tag. (Specification, gateway, section 1.2, the gateway's column)
 *
 *     key                                                     value
 *     id (32 bytes)                                           the event, JSON
 *     created_at:<ts10>:id:<id>                               id in hex, as in all that follow
 *     kind:<kind5>:created_at:<ts10>:id:<id>
 *     pubkey:<hex>:created_at:<ts10>:id:<id>
 *     tagKey:<name>:tagValue:<value>:created_at:<ts10>:id:<id>     for every tag that has a value, in order
 *
 * ts10 and kind5 are decimal, filled up with zeros to so many digits, and longer where the number is. Names and values of tags are the
 * strings themselves, without JSON's escapes. An event that has the same tag twice has the row twice, as the reference writes it.
 */
#ifndef HF_DATA_RELAY_BEE_H
#define HF_DATA_RELAY_BEE_H

#include "data/event/event.h"

#define HF_RELAY_BEE_ROW_COUNT_MAX (4 + HF_EVENT_TAG_COUNT_MAX)

/* Calls row for each row of the event, in the order in which the reference puts them. json: the event's text, which becomes the first
 * row's value. Key and value are borrowed. What row returns ends it when it is not HF_OK, and is returned. HF_ENOMEM. */
int hf_relay_bee_rows(const struct hf_event *event, struct hf_slice json,
	int (*row)(void *context, struct hf_slice key, struct hf_slice value), void *context);

#endif
