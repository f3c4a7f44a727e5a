#include "base/options.h"

#include <string.h>

#include "base/error.h"

int hf_options_take(void *out, size_t bytes, const void *given)
{
	const unsigned char *from = given;
	size_t given_bytes;

	memset(out, 0, bytes);
	memcpy(&given_bytes, given, sizeof given_bytes);
	if (given_bytes < sizeof given_bytes)
		return HF_EINVAL;
	for (size_t i = bytes; i < given_bytes; i++)
		if (from[i] != 0)
			return HF_EVERSION;
	memcpy(out, given, given_bytes < bytes ? given_bytes : bytes);
	memcpy(out, &bytes, sizeof bytes);
	return HF_OK;
}
