/* dashboard_files: the dashboard as it is built into the program; made by tools/embed. (Private to service/gateway/) */
#ifndef HF_SERVICE_GATEWAY_DASHBOARD_FILES_H
#define HF_SERVICE_GATEWAY_DASHBOARD_FILES_H

#include "base/bytes.h"

struct hf_dashboard_file {
	const char *name, *content_type;
	struct hf_slice plain, packed; /* the second is gzip of the first */
};
extern const struct hf_dashboard_file hf_dashboard_files[];
extern const size_t hf_dashboard_file_count;

#endif
