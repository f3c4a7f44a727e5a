/* log: the append log, the only thing that a commit writes and syncs. (Private to store/.)
 *
 * Directory `log/`, one file per segment, named by its number in 8 hex digits with ".log". A segment covers a range of the
 * logical address space [base, base + length); a position names a record for ever.
 *
 *   file    = header, records
 *   header  = "HFLOG\0\0\1" (8), store uuid (16), segment number le32, generation le32, base le64,
 *             then zero up to 60, crc32c of the first 60 bytes le32   (64 bytes)
 *   record  = crc32c le32 over everything after it, length le32 of the payload, type u8, flags u8, zero le16,
 *             stream le32, payload                                    (16 bytes and the payload)
 *   A record begins at the next multiple of 4; the gap is zero and belongs to the record before it.
 *   flags   bit 0 LAST: the last record of its batch. A batch is in the log when all its records up to and
 *           including LAST are; at recovery an incomplete batch at the end of the log is cut off.
 *
 * The logical position of a record in a generation-0 segment is base + (file offset - 64). Collection of
 * garbage writes generation g+1 of the same segment: the live records squeezed together, then an extent map
 * (logical start le32, file offset le32 pairs, sorted; relative to base), its count and crc32c at the end of the file: positions stay
 * valid and no index has to change.
 *
 * Record types are listed in record.h.
 */
#ifndef HF_STORE_LOG_H
#define HF_STORE_LOG_H

#include "store/store.h"

#define HF_LOG_RECORD_HEADER_BYTES 16
#define HF_LOG_FILE_HEADER_BYTES 64

enum { HF_LOG_LAST = 1 };

struct hf_log;

struct hf_log_record {
	uint64_t position;
	uint32_t stream; /* collection or table number; 0 for logs, whose number is in the payload */
	uint8_t type, flags;
	struct hf_slice payload;
};

/* Reads the record at position into scratch. Checks the checksum. In resident mode HF_EWAIT instead of
 * waiting for the disk. guess_bytes: how much to read at first (0: 1 KiB). Any thread, as long as the caller holds
 * a pin (hf_log_pin) taken before the record could have been collected. */
int hf_log_read(struct hf_log *log, uint64_t position, enum hf_read_mode mode, size_t guess_bytes,
	struct hf_buffer *scratch, struct hf_log_record *record);

#endif
