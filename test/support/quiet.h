/* quiet: log lines of faults that a test makes on purpose go nowhere, unless TEST_LOG is set. */
#ifndef HF_TEST_QUIET_H
#define HF_TEST_QUIET_H

#include <stdlib.h>

#include "base/log.h"

static inline void quiet_forget_line(void *context, const char *line, unsigned length)
{
	(void)context;
	(void)line;
	(void)length;
}

static inline void quiet_log(void)
{
	if (getenv("TEST_LOG") == NULL)
		hf_log_set_sink(quiet_forget_line, NULL);
}

#endif
