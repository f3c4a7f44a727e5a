/* log_segment: what the files of the log share: a segment, the set of them, the log. (Private to the log.) */
#ifndef HF_STORE_LOG_SEGMENT_H
#define HF_STORE_LOG_SEGMENT_H

#include <pthread.h>

#include "store/log.h"

struct hf_log_extent {
	uint32_t logical; /* relative to the segment's base */
	uint32_t offset;  /* in the file */
};

struct hf_log_segment {
	_Atomic uint32_t references;
	uint32_t number, generation;
	uint64_t base;
	_Atomic uint64_t length;     /* logical bytes; of the last segment, what is written */
	_Atomic uint64_t dead_bytes;
	uint64_t data_end;           /* squeezed: file offset where records end */
	uint64_t allocated;          /* of the last: file bytes that have space */
	struct hf_log_extent *extents;
	uint32_t extent_count;       /* 0: not squeezed */
	bool unreadable;             /* its extent map is damaged */
	struct hf_file file;
	_Atomic(struct hf_log_window *) window; /* NULL until the first read */
	struct hf_log *log;
};

struct hf_log_set {
	_Atomic uint32_t references;
	size_t count;
	struct hf_log_segment *segments[];
};

struct hf_log {
	struct hf_log_options options;
	char directory[HF_PATH_BYTES_MAX];
	pthread_mutex_t lock;    /* set */
	pthread_mutex_t sync_lock; /* one sync at a time: the kernel tells a lost page to one of two only */
	struct hf_log_set *set;
	struct hf_log_segment *last; /* the writer's; in the set, and never collected */
	uint32_t sum_start;      /* crc32c of the uuid */
	_Atomic uint64_t end, synced, written_back;
	_Atomic bool failed;     /* a sync failed, or bytes that should not be there could not be removed */
};

/* ---- log_segment.c ---- */
/* Opens the segment's file with those HF_FILE_ flags. The caller's reference. */
int hf_log_segment_new(struct hf_log_segment **out, struct hf_log *log, const struct hf_log_segment_info *info, int flags);
void hf_log_segment_unref(struct hf_log_segment *segment);
void hf_log_segment_unlink(const struct hf_log_segment *segment);
/* Writes the file header and syncs it with the directory. */
int hf_log_segment_write_header(struct hf_log_segment *segment);
/* Number, generation and base as the file's header has them. HF_ECORRUPT: it is no header of this store's log. */
int hf_log_segment_read_header(struct hf_log_segment *segment, struct hf_log_segment_info *info);
/* The same, and HF_ECORRUPT when it is the header of another segment. */
int hf_log_segment_check_header(struct hf_log_segment *segment);
/* The map at the end of a squeezed segment. HF_ECORRUPT, HF_ENOMEM, HF_EIO. */
int hf_log_segment_load_extents(struct hf_log_segment *segment);
uint64_t hf_log_segment_end(const struct hf_log_segment *segment); /* file offset where records end */
/* The file offset of a position, and where in the file the run of records it is in ends. */
int hf_log_segment_locate(const struct hf_log_segment *segment, uint64_t position, uint64_t *offset, uint64_t *end);
struct hf_log_segment_info hf_log_segment_describe(const struct hf_log_segment *segment);
/* Counts what failed its checksum, and says where it is. */
void hf_log_count_corrupt(const struct hf_log_segment *segment, uint64_t offset, const char *what);

/* ---- log_set.c ---- */
struct hf_log_set *hf_log_set_new(size_t count); /* NULL when out of memory */
/* Puts segment behind the last; the set has its reference then. HF_ENOMEM. */
int hf_log_add_segment(struct hf_log *log, struct hf_log_segment *segment);
/* Puts segment in the place of the one with its number. dead_before: the garbage that was known when its writing began. */
int hf_log_replace_segment(struct hf_log *log, struct hf_log_segment *segment, uint64_t dead_before);
/* The segment that a position is in, NULL when nothing is written there. */
struct hf_log_segment *hf_log_set_find(const struct hf_log_set *set, uint64_t position);

/* ---- log_window.c: reads that need no call, of pages that were read before ---- */
/* A call has read these bytes. */
void hf_log_window_note(struct hf_log_segment *segment, uint64_t offset, size_t length);
/* All their pages have been noted. */
bool hf_log_window_has(struct hf_log_segment *segment, uint64_t offset, size_t length);
/* Copies them when all their pages have been noted; false otherwise. */
bool hf_log_window_read(struct hf_log_segment *segment, uint8_t *data, size_t length, uint64_t offset);
/* What the record's header says that it takes, unchecked but bounded; 0 when its page has not been noted. */
size_t hf_log_window_record_bytes(struct hf_log_segment *segment, uint64_t offset);
void hf_log_window_prefetch(struct hf_log_segment *segment, uint64_t offset);
void hf_log_window_close(struct hf_log_segment *segment);

/* ---- log.c ---- */
/* The sum of the record whose bytes, with header and gap, are data, at position. */
uint32_t hf_log_record_sum(const struct hf_log *log, const uint8_t *data, size_t length, uint64_t position);

#endif
