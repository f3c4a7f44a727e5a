/* canonical_number: a number as JavaScript prints it. (ECMA-262, Number::toString) (Private to service/gateway/) */
#ifndef HF_SERVICE_GATEWAY_CANONICAL_NUMBER_H
#define HF_SERVICE_GATEWAY_CANONICAL_NUMBER_H

#include "base/bytes.h"

#define HF_CANONICAL_NUMBER_BYTES 32

/* Writes it without a final NUL and returns the length: the shortest digits that read back as the same double; "null" when it is
 * infinite. */
size_t hf_canonical_number(double value, char out[static HF_CANONICAL_NUMBER_BYTES]);

#endif
