/* error: the one list of error codes, and the sentence that a person gets to read.
 *
 * Every function that can fail returns 0 (HF_OK) or one negative HF_E… code. Where a caller shows the
 * failure to a person, the function also takes a struct hf_failure and fills it with what was wrong,
 * where, and what to do.
 */
#ifndef HF_BASE_ERROR_H
#define HF_BASE_ERROR_H

#include "base/api.h"

enum hf_error {
	HF_OK = 0,
	HF_ENOMEM = -1,    /* an allocation failed; nothing was changed */
	HF_EINVAL = -2,    /* an argument or a setting is outside what is allowed */
	HF_EMALFORMED = -3, /* outside bytes do not follow their format */
	HF_ETOOBIG = -4,   /* a named limit would be passed */
	HF_ENOTFOUND = -5,
	HF_EEXISTS = -6,
	HF_EWAIT = -7,     /* not resident or not here yet: run the operation again where it may block */
	HF_ECORRUPT = -8,  /* stored bytes do not match their checksum */
	HF_EIO = -9,       /* the operating system failed a read, write or sync */
	HF_ENOSPC = -10,   /* the disk or the quota is full */
	HF_EBUSY = -11,    /* a bounded queue is full, or another process holds the lock */
	HF_ECLOSED = -12,  /* the other side, or the thing itself, is closed or closing */
	HF_ETIMEOUT = -13,
	HF_EDENIED = -14,  /* policy or credentials refuse it */
	HF_EVERSION = -15, /* a format version this program does not know */
	HF_EBADSIG = -16,  /* a signature does not verify */
	HF_ECANCELED = -17,
	HF_EADDR = -18,    /* an address cannot be parsed, resolved, bound or reached */
	HF_EDUPLICATE = -19, /* known already: no change was needed */
};

#define HF_FAILURE_TEXT_BYTES 320

struct hf_failure {
	int code;                         /* enum hf_error */
	char text[HF_FAILURE_TEXT_BYTES]; /* a full sentence without the final newline; "" when unset */
};

/* The constant's name ("HF_ENOSPC") and a short description ("no space left"). Never NULL. */
HF_API const char *hf_error_name(int code);
HF_API const char *hf_error_text(int code);

/* The hf_error for a value of errno. */
HF_API int hf_error_from_errno(int errno_value);

/* Fills *failure (may be NULL) and returns code, so that callers can write `return hf_fail(...)`. */
HF_API int hf_fail(struct hf_failure *failure, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

#endif
