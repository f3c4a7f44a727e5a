/* log: structured lines for a person and a machine, with a level per module.
 *
 * One line an entry on standard error: time, level, module, message, then key=value pairs (or one JSON
 * object a line). Cheap when the level is off: one load and compare. Never called per event by default.
 *
 *     static struct hf_log_module log = HF_LOG_MODULE("store");
 *     hf_log_info(&log, "segment sealed", "segment=%u docs=%u", number, count);
 *
 * The levels live in the modules, which register themselves on first use; setting them is the only
 * process-wide state of the library and belongs to the program, not to embedders' sessions.
 */
#ifndef HF_BASE_LOG_H
#define HF_BASE_LOG_H

#include <stdbool.h>

#include "base/api.h"

enum hf_log_level { HF_LOG_ERROR, HF_LOG_WARN, HF_LOG_INFO, HF_LOG_DEBUG, HF_LOG_TRACE };

struct hf_log_module {
	const char *name;
	HF_ATOMIC(int) level;       /* -1 until registered */
	struct hf_log_module *next;
};
#define HF_LOG_MODULE(module_name) {.name = (module_name), .level = -1, .next = NULL}

/* specification: "info", or "info,store=debug,net=warn". HF_EINVAL names the bad part in *bad. */
HF_API int hf_log_configure(const char *specification, bool json, const char **bad);
/* Where lines go; NULL for standard error. The sink gets whole lines with their newline. */
HF_API void hf_log_set_sink(void (*sink)(void *context, const char *line, unsigned length), void *context);
HF_API bool hf_log_enabled(struct hf_log_module *module, enum hf_log_level level);
/* fields: printf format of space-separated key=value pairs, or NULL. */
HF_API void hf_log_write(struct hf_log_module *module, enum hf_log_level level, const char *message, const char *fields, ...)
	__attribute__((format(printf, 4, 5)));

#define HF_LOG_AT(module, level, ...)                                                             \
	do {                                                                                      \
		if (hf_log_enabled((module), (level)))                                            \
			hf_log_write((module), (level), __VA_ARGS__);                             \
	} while (0)
#define hf_log_error(module, ...) HF_LOG_AT(module, HF_LOG_ERROR, __VA_ARGS__)
#define hf_log_warn(module, ...) HF_LOG_AT(module, HF_LOG_WARN, __VA_ARGS__)
#define hf_log_info(module, ...) HF_LOG_AT(module, HF_LOG_INFO, __VA_ARGS__)
#define hf_log_debug(module, ...) HF_LOG_AT(module, HF_LOG_DEBUG, __VA_ARGS__)

#endif
