/* aliases: the environment names of Hypertuna's deployed gateway, read as names of our settings, so that a deployment can move here with
 * the
 * environment it has. (the gateway's specification, §11.2)
 *
 * One of them counts only where a setting has no value of its own, from file, environment or flag. What they said in other units or words
 * is put into ours. PORT and LOG_LEVEL, which others use too, count only beside a name that begins with GATEWAY_.
 */
#ifndef HF_SERVICE_ALIASES_H
#define HF_SERVICE_ALIASES_H

#include "service/config.h"

struct hf_alias {
	const char *variable;
	const char *section, *name; /* of our setting; NULL: there is none */
	/* Writes the value as ours has it; false: it says nothing for this setting. NULL: as it is. */
	bool (*translate)(char *const *environment, const char *value, char *out, size_t size);
	const char *note;           /* how it is taken; without a setting: why there is none */
};

extern const struct hf_alias hf_aliases[];
extern const size_t hf_alias_count;

/* Sets what aliases say and nothing of ours has said. HF_EINVAL with a sentence that names the variable; HF_ENOMEM. */
int hf_aliases_apply(struct hf_config *config, char *const *environment, struct hf_failure *failure);

struct hf_alias_use {
	const char *variable;
	bool is_used;
	char sentence[HF_FAILURE_TEXT_BYTES]; /* which of ours it stands for, or why it does nothing; never the value */
};
/* Calls each for every such name in the environment, known or not, in the order of the environment. config: after hf_aliases_apply. */
void hf_aliases_each_use(const struct hf_config *config, char *const *environment,
	void (*each)(void *context, const struct hf_alias_use *use), void *context);

/* The table, for people ("GATEWAY_X  section.name  note") or as JSON. HF_ENOMEM. */
int hf_aliases_show(bool json, struct hf_buffer *out);

#endif
