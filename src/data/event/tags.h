/* tags: the check of a tags array on its way in, and its canonical text. Walking checked tags is in event.h. */
#ifndef HF_DATA_EVENT_TAGS_H
#define HF_DATA_EVENT_TAGS_H

#include "data/event/event.h"

struct hf_tags_scan {
	const uint8_t *end;  /* behind the closing bracket */
	unsigned features;   /* HF_JSON_… of all its strings */
	bool has_space;      /* white space between its tokens */
	uint32_t tag_count;
};

/* Scans a JSON array of non-empty arrays of strings from its opening bracket on. HF_EMALFORMED or HF_ETOOBIG with
 * *reason. */
int hf_tags_scan(const uint8_t *at, const uint8_t *end, struct hf_tags_scan *scan, const char **reason);
/* Writes the canonical text of a scanned array: at most raw.length bytes. Returns the length. */
size_t hf_tags_canonical(struct hf_slice raw, uint8_t *out);

#endif
