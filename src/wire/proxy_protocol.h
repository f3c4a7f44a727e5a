/* proxy_protocol: what a proxy says ahead of a connection's own bytes: whose it is. (The PROXY protocol, versions 1 and 2, of HAProxy's
 * doc/proxy-protocol.txt)
 *
 * The header must be there, whole and exact: nothing is guessed. A header of version 2 may bring further facts (TLVs), which are skipped,
 * but for the checksum: where there is one it must be right. What came over anything but TCP, or of an address that the proxy does not
 * tell, counts as the proxy's own connection, as do those that it opens to look whether we are there (LOCAL).
 */
#ifndef HF_WIRE_PROXY_PROTOCOL_H
#define HF_WIRE_PROXY_PROTOCOL_H

#include "base/address.h"

#define HF_PROXY_LINE_BYTES_MAX 107u        /* version 1, with its CR LF */
#define HF_PROXY_HEADER_BYTES_MAX 4096u     /* version 2; addresses and TLVs take a few hundred */

struct hf_proxy_header {
	size_t length;             /* bytes of the header; the connection's own begin behind them */
	bool has_source;           /* false: the connection is the proxy's own */
	struct hf_address source;  /* the client */
	uint8_t version;           /* 1 or 2 */
};

/* data: all that has come so far. HF_OK; HF_EWAIT: as far as it goes it may become a header; HF_EMALFORMED, HF_ETOOBIG, HF_ECORRUPT (the
 * checksum). */
int hf_proxy_header_read(struct hf_slice data, struct hf_proxy_header *header);

#endif
