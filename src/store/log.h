/* log: the append log, the only thing that a commit writes and syncs. (Private to store/.)
 *
 * Directory `log/`, one file per segment, named by its number in 8 hex digits, "-", its generation in hex, ".log". A
 * segment covers a range of the logical address space [base, base + length); a position names a record for ever. A
 * segment begins where the one before it ends; one in which nothing lives any more is removed, and leaves a gap.
 *
 *   file    = header, records
 *   header  = "HFLOG\0\0\1" (8), store uuid (16), segment number le32, generation le32, base le64,
 *             then zero up to 60, crc32c of the first 60 bytes le32   (64 bytes)
 *   record  = crc32c le32, length le32 of the payload, type u8, flags u8, zero le16, stream le32, payload
 *             (16 bytes and the payload); the sum is over the store's uuid, the position as le64, then everything after it
 *   A record begins at the next multiple of 4; the gap is zero and belongs to the record before it and to its sum. Because uuid and
 *   position are part of the sum, a record in the wrong place is no record, and nobody outside can make a payload that
 *   holds one.
 *   flags   bit 0 LAST: the last record of its batch. A batch is in the log when all its records up to and
 *           including LAST are; at recovery an incomplete batch at the end of the log is cut off.
 *
 * The logical position of a record in a generation-0 segment is base + (file offset - 64). Collection of
 * garbage writes generation g+1 of the same segment: the live records squeezed together, then an extent map
 * (logical start le32, file offset le32 pairs, sorted; logical starts relative to base), their number le32 and the crc32c
 * of pairs and number le32 as the end of the file: positions stay valid and no index has to change.
 *
 * A new segment is created only after the one before it was synced whole, and its header is synced before a record
 * follows. So everything in front of an existing segment was synced once: damage there is corruption, not a torn tail.
 *
 * WHAT RECOVERY PROMISES. Each group begins with a record that says up to where the log was synced when it was written; the
 * manifest says it too, and a later segment says it of all before it. Let S be the highest position that any of these which
 * can be read names. Damage below S is told: it is counted and named in the log, the records around it are kept, and
 * nothing is cut off. From S on lies what was written since the last sync that something was written after: there a record
 * that is not whole is taken for one that a crash tore, and the log ends before its batch, with a warning. So damage in
 * the very last group, which nothing came after, cannot be told from a torn write, even if the group had been synced; a
 * clean close and every checkpoint move S behind it.
 *
 * Record types are listed in record.h.
 *
 * Threads: append, sync of the end, cut: the writer (sync also from a background thread). pin, read, readers: any.
 */
#ifndef HF_STORE_LOG_H
#define HF_STORE_LOG_H

#include "store/store.h"

#define HF_LOG_RECORD_HEADER_BYTES 16
#define HF_LOG_FILE_HEADER_BYTES 64
#define HF_LOG_EMPTY_FILE_BYTES (HF_LOG_FILE_HEADER_BYTES + 8) /* a squeezed one without records */
#define HF_LOG_UUID_BYTES 16
#define HF_LOG_PAYLOAD_BYTES_MAX (HF_STORE_BLOCK_BYTES_MAX + 64)

enum { HF_LOG_LAST = 1 };

struct hf_log;
struct hf_log_set; /* a pin: the segments of one moment, readable until it is given back */

struct hf_log_record {
	uint64_t position;
	uint32_t stream; /* collection or table number; 0 for logs, whose number is in the payload */
	uint8_t type, flags;
	struct hf_slice payload;
};

/* One segment as the manifest keeps it. */
struct hf_log_segment_info {
	uint32_t number, generation;
	uint64_t base;
	uint64_t length;     /* logical; of the last one: what was written */
	uint64_t dead_bytes; /* of records that nothing needs any more */
	uint64_t file_bytes;
};

struct hf_log_options {
	struct hf_fs *fs;
	const char *directory; /* exists; of log files */
	uint8_t uuid[HF_LOG_UUID_BYTES];
	uint64_t segment_bytes_max;
	bool read_only;
	_Atomic uint64_t *corrupt_count; /* raised for every record that fails its checksum */
};

/* What a record with that payload takes in the log. */
static inline uint64_t hf_log_record_bytes(uint64_t payload_bytes)
{
	return (HF_LOG_RECORD_HEADER_BYTES + payload_bytes + 3) & ~(uint64_t)3;
}

/* Opens the segments that the manifest names, and those that were begun after it. The last one's length is what its file
 * holds: the caller scans it and calls hf_log_cut. HF_ENOTFOUND or HF_ECORRUPT with a sentence that names the file. */
int hf_log_open(struct hf_log **out, const struct hf_log_options *options, const struct hf_log_segment_info *segments,
	size_t segment_count, struct hf_failure *failure);
void hf_log_close(struct hf_log *log); /* no pins may be left */

/* The position of the next record. Positions below it are written. */
uint64_t hf_log_end(const struct hf_log *log);
/* The position below which everything is on the disk. */
uint64_t hf_log_synced(const struct hf_log *log);

/* Fills a record's header. data is the whole record: header room, payload already in place, gap. outside: the end of the payload, which
 * lies elsewhere (its place in data is not looked at), or nothing. */
void hf_log_finish_record(const struct hf_log *log, uint8_t *data, uint64_t position, const struct hf_log_record *record,
	uint32_t payload_bytes, struct hf_slice outside);
/* Writes records that were finished for the position hf_log_end, in a new segment when the last is full. On failure
 * nothing of them is left in the log; HF_EIO when even that could not be brought about. */
int hf_log_append(struct hf_log *log, const struct iovec *pieces, int count);
/* Begins a new segment, unless the last is empty, so that the one before it may be collected. */
int hf_log_roll(struct hf_log *log);
/* fdatasync of what was appended so far. After a failure the log refuses appends with HF_EIO: the kernel may have dropped the pages. */
int hf_log_sync(struct hf_log *log);
/* The disk begins early with what a sync would else find all at once. From one thread at a time, beside all others. */
void hf_log_write_back(struct hf_log *log);
/* The position up to which it was told to. */
uint64_t hf_log_written_back(const struct hf_log *log);
/* Forgets everything from position on, and gives back space taken ahead: truncates and syncs. Only at open and at close. */
int hf_log_cut(struct hf_log *log, uint64_t position);

/* Counts a record as garbage. Any thread. */
void hf_log_count_dead(struct hf_log *log, uint64_t position, uint64_t bytes);
void hf_log_set_dead(struct hf_log *log, uint32_t number, uint64_t dead_bytes);

struct hf_log_set *hf_log_pin(struct hf_log *log);
void hf_log_unpin(struct hf_log_set *set); /* NULL is fine */

/* A record of this size or more is read by a call and not through a mapping, whose page faults would cost more than the call. */
#define HF_LOG_CALL_BYTES_MIN 16384u
/* Reads the record at position into scratch (replacing what is there). Checks the checksum. In resident mode HF_EWAIT
 * instead of waiting for the disk. guess_bytes: how much to read at first (0: 1 KiB). Any thread. HF_ENOTFOUND: not in
 * these segments, or collected. HF_ECORRUPT: counted, and an error line names file and offset. */
int hf_log_read(struct hf_log_set *set, uint64_t position, enum hf_read_mode mode, size_t guess_bytes,
	struct hf_buffer *scratch, struct hf_log_record *record);
/* The record will be read soon: asks for its memory where that costs nothing. */
void hf_log_prefetch(struct hf_log_set *set, uint64_t position);
/* Reads that many bytes from position on with one call, unless they were read before, so that hf_log_read needs none for the
 * records there. scratch is replaced. A failure shows when they are read. */
void hf_log_read_ahead(struct hf_log_set *set, uint64_t position, uint64_t bytes, enum hf_read_mode mode, struct hf_buffer *scratch);
/* The size of the record at position (header, payload and gap), from its header alone, whose sum is not checked. */
int hf_log_record_size(struct hf_log_set *set, uint64_t position, uint64_t *bytes);

/* ---- In order ---- */
/* Walks the records of one segment of a set. Zero-initialise through start. */
struct hf_log_reader {
	struct hf_log_set *set;
	size_t segment;          /* place in the set */
	uint64_t offset;         /* file offset of the next record */
	uint64_t end;            /* file offset where records end */
	uint32_t extent;         /* of squeezed segments */
	uint64_t window_offset;  /* what is in window */
	struct hf_buffer window;
};
size_t hf_log_set_count(const struct hf_log_set *set);
struct hf_log_segment_info hf_log_set_info(const struct hf_log_set *set, size_t segment);
/* Reads the header of the segment's file again. HF_ECORRUPT: it does not match its checksum, or the extent map did not. */
int hf_log_set_check(const struct hf_log_set *set, size_t segment);
/* "log/00000001-0.log", for sentences. */
void hf_log_set_name(const struct hf_log_set *set, size_t segment, char name[static 32]);
/* From position on (raised to the segment's base). Borrows the set. */
void hf_log_reader_start(struct hf_log_reader *reader, struct hf_log_set *set, size_t segment, uint64_t position);
void hf_log_reader_free(struct hf_log_reader *reader);
/* The next record; its payload is good until the next call. HF_ENOTFOUND at the end. HF_ECORRUPT: there is no
 * whole record here; the reader stays, hf_log_reader_position tells where. */
int hf_log_reader_next(struct hf_log_reader *reader, struct hf_log_record *record);
uint64_t hf_log_reader_position(const struct hf_log_reader *reader);
/* After HF_ECORRUPT: on to the next place that holds a whole record (HF_OK), or to the end (HF_ENOTFOUND). */
int hf_log_reader_resync(struct hf_log_reader *reader);
/* True when nothing but zeros follows: the end of what was ever written here. */
bool hf_log_reader_only_zeros(struct hf_log_reader *reader);

/* ---- Collection (collect.c) ---- */
/* Writes generation + 1 of a segment: begin, keep each live record in order, commit. The result is in use once
 * hf_log_rewrite_install was called, which must be before the manifest names it; the old file is for the caller to unlink
 * after that manifest (hf_log_file_name). */
struct hf_log_rewrite;
int hf_log_rewrite_begin(struct hf_log_rewrite **out, struct hf_log *log, const struct hf_log_segment_info *info);
int hf_log_rewrite_keep(struct hf_log_rewrite *rewrite, const struct hf_log_record *record);
int hf_log_rewrite_finish(struct hf_log_rewrite *rewrite); /* writes the map, syncs file and directory */
int hf_log_rewrite_install(struct hf_log_rewrite *rewrite);
void hf_log_rewrite_free(struct hf_log_rewrite *rewrite); /* an unfinished file is removed */
/* Takes a segment that holds nothing that lives out of the log for good; not the last. Its file is for the caller to unlink
 * after the manifest that does not name it. */
int hf_log_remove_segment(struct hf_log *log, uint32_t number);
void hf_log_file_name(uint32_t number, uint32_t generation, char name[static 32]);

#endif
