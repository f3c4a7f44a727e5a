/* One table, indexed by the negated code, so that a code without a row shows as HF_E? in a test. */
#include "base/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>

struct description {
	const char *name, *text;
};

#define ROW(code, sentence) [-(code)] = {#code, sentence}
static const struct description descriptions[] = {
	ROW(HF_OK, "no error"),
	ROW(HF_ENOMEM, "out of memory"),
	ROW(HF_EINVAL, "invalid argument or setting"),
	ROW(HF_EMALFORMED, "malformed input"),
	ROW(HF_ETOOBIG, "too big"),
	ROW(HF_ENOTFOUND, "not found"),
	ROW(HF_EEXISTS, "exists already"),
	ROW(HF_EWAIT, "not available yet"),
	ROW(HF_ECORRUPT, "stored data is corrupt"),
	ROW(HF_EIO, "input/output error"),
	ROW(HF_ENOSPC, "no space left"),
	ROW(HF_EBUSY, "busy"),
	ROW(HF_ECLOSED, "closed"),
	ROW(HF_ETIMEOUT, "timed out"),
	ROW(HF_EDENIED, "permission denied"),
	ROW(HF_EVERSION, "unknown format version"),
	ROW(HF_EBADSIG, "signature does not verify"),
	ROW(HF_ECANCELED, "canceled"),
	ROW(HF_EADDR, "address cannot be used"),
	ROW(HF_EDUPLICATE, "known already"),
};

static const struct description *describe(int code)
{
	static const struct description unknown = {"HF_E?", "unknown error"};
	int count = (int)(sizeof descriptions / sizeof *descriptions);
	return code <= 0 && code > -count ? &descriptions[-code] : &unknown;
}

const char *hf_error_name(int code)
{
	return describe(code)->name;
}

const char *hf_error_text(int code)
{
	return describe(code)->text;
}

int hf_error_from_errno(int errno_value)
{
	switch (errno_value) {
	case 0:
		return HF_OK;
	case ENOMEM:
		return HF_ENOMEM;
	case EINVAL:
	case ENAMETOOLONG:
		return HF_EINVAL;
	case EFBIG:
	case EMSGSIZE:
		return HF_ETOOBIG;
	case ENOENT:
	case ENOTDIR:
		return HF_ENOTFOUND;
	case EEXIST:
	case ENOTEMPTY:
		return HF_EEXISTS;
	case EAGAIN:
		return HF_EWAIT;
	case ENOSPC:
	case EDQUOT:
		return HF_ENOSPC;
	case EBUSY:
	case ETXTBSY:
	case EMFILE:
	case ENFILE:
		return HF_EBUSY;
	case EPIPE:
	case ECONNRESET:
	case ESHUTDOWN:
	case ENOTCONN:
		return HF_ECLOSED;
	case ETIMEDOUT:
		return HF_ETIMEOUT;
	case EACCES:
	case EPERM:
	case EROFS:
		return HF_EDENIED;
	case ECANCELED:
		return HF_ECANCELED;
	case EADDRINUSE:
	case EADDRNOTAVAIL:
	case ECONNREFUSED:
	case EHOSTUNREACH:
	case ENETUNREACH:
	case EAFNOSUPPORT:
		return HF_EADDR;
	default:
		return HF_EIO;
	}
}

int hf_fail(struct hf_failure *failure, int code, const char *format, ...)
{
	if (failure) {
		va_list arguments;
		va_start(arguments, format);
		failure->code = code;
		vsnprintf(failure->text, sizeof failure->text, format, arguments);
		va_end(arguments);
	}
	return code;
}
