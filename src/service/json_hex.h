/* json_hex: bytes in hexadecimal as a JSON string. */
#ifndef HF_SERVICE_JSON_HEX_H
#define HF_SERVICE_JSON_HEX_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>

json_t *hf_json_hex(const uint8_t *bytes, size_t length); /* NULL: no memory */

#endif
