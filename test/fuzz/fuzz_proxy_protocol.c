/* Headers of the PROXY protocol. What is a header is none with any byte less, and is the same with more behind it; what is refused stays so
 * with more bytes.
 *
 * Covers: src/wire/proxy_protocol.c
 */
#include "fuzz.h"

#include "wire/proxy_protocol.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hf_proxy_header header, part;
	int r = hf_proxy_header_read(hf_slice(data, size), &header);
	int refused = HF_EWAIT;

	if (r == HF_OK) {
		FUZZ_CHECK(header.length > 0 && header.length <= size && header.length <= HF_PROXY_HEADER_BYTES_MAX);
		FUZZ_CHECK(hf_proxy_header_read(hf_slice(data, header.length), &part) == HF_OK);
		FUZZ_CHECK(part.length == header.length && part.has_source == header.has_source);
		FUZZ_CHECK(hf_address_equal(&part.source, &header.source));
		size = header.length - 1;
	} else if (r == HF_EWAIT) {
		FUZZ_CHECK(size < HF_PROXY_HEADER_BYTES_MAX);
	}
	for (size_t length = 0; length <= size && length < HF_PROXY_HEADER_BYTES_MAX; length++) {
		int now = hf_proxy_header_read(hf_slice(data, length), &part);
		FUZZ_CHECK(now != HF_OK);
		if (refused != HF_EWAIT)
			FUZZ_CHECK(now != HF_EWAIT);
		refused = now;
	}
	return 0;
}
