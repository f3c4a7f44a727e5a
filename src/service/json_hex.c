#include "service/json_hex.h"

#include <stdlib.h>

#include "codec/hex.h"

json_t *hf_json_hex(const uint8_t *bytes, size_t length)
{
	char *text = malloc(2 * length + 1);
	if (!text)
		return NULL;
	hf_hex_encode(text, bytes, length);
	json_t *value = json_stringn(text, 2 * length);
	free(text);
	return value;
}
