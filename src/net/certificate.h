/* certificate: what a server's certificate file says, for who looks at it before, or instead of, serving with it. */
#ifndef HF_NET_CERTIFICATE_H
#define HF_NET_CERTIFICATE_H

#include <stddef.h>
#include <stdint.h>

#include "base/error.h"

struct hf_certificate_facts {
	int64_t begins_at_s, ends_at_s; /* Unix time */
	char names[256];                /* of hosts, with commas between, as many as have room */
};

/* The first certificate of a PEM file. HF_EINVAL with a sentence when there is none in it or it cannot be read. */
int hf_certificate_read(const char *path, struct hf_certificate_facts *facts, struct hf_failure *failure);

#endif
