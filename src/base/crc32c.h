/* crc32c: CRC-32C (Castagnoli), with the processor's instruction where there is one. */
#ifndef HF_BASE_CRC32C_H
#define HF_BASE_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* crc is 0 for a new sum, or what an earlier call returned, to go on. */
uint32_t hf_crc32c(uint32_t crc, const void *data, size_t length);
/* The same without the instruction, as every other processor computes it. */
uint32_t hf_crc32c_portable(uint32_t crc, const void *data, size_t length);

#endif
