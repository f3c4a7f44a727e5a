/* doctor: looks at the machine, the network, the configuration and the data directory, and says what is wrong, why it matters, and which
 * command mends it. It changes nothing, and needs no root. */
#ifndef HF_CLI_DOCTOR_H
#define HF_CLI_DOCTOR_H

#include <jansson.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "cli/command.h"

enum hf_doctor_level {
	HF_DOCTOR_OK,
	HF_DOCTOR_WARNING, /* it works, and may not go well */
	HF_DOCTOR_FAULT,   /* it does not work, or will not */
};

#define HF_DOCTOR_TEXT_BYTES 1024

struct hf_doctor {
	struct hf_cli *cli;
	struct hf_config *config;       /* all defaults when is_config_right is not true */
	bool is_config_right;
	json_t *findings;
	size_t counts[3];               /* by level */
	int code;                       /* of exit: that of the first fault */
	char data[HF_PATH_BYTES_MAX];   /* the data directory, or while there is none the folder that it would be in */
	bool has_data;
	struct stat data_status;
	pid_t holder;                   /* who holds its LOCK; 0: nobody, -1: somebody who cannot be seen from here */
	bool holder_answers;            /* at its admin.sock */
	json_t *health;                 /* what it said there of itself; may be NULL */
};

/* Formats into out and returns it. */
char *hf_doctor_text(char out[static HF_DOCTOR_TEXT_BYTES], const char *format, ...) __attribute__((format(printf, 2, 3)));
#define HF_DOCTOR_TEXT(...) hf_doctor_text((char[HF_DOCTOR_TEXT_BYTES]){0}, __VA_ARGS__)

/* One line: it is well. */
void hf_doctor_ok(struct hf_doctor *doctor, const char *check, const char *what);
/* what is wrong, why it matters, and the command that mends it; texts are copied. */
void hf_doctor_find(struct hf_doctor *doctor, enum hf_doctor_level level, const char *check, const char *what, const char *why,
	const char *mend);

/* How a setting is changed where it was set, or in the configuration file there is: a command, into out, which is returned. */
char *hf_doctor_set(const struct hf_doctor *doctor, const char *section, const char *name, const char *value,
	char out[static HF_DOCTOR_TEXT_BYTES]);
#define HF_DOCTOR_SET(doctor, section, name, value) hf_doctor_set(doctor, section, name, value, (char[HF_DOCTOR_TEXT_BYTES]){0})

/* Whether the line `name: value`, of those that /proc has, was found in a file; its number, after the name. */
bool hf_doctor_read_number(const char *path, const char *name, uint64_t *number);
/* Whether other machines can reach what is configured to listen, by itself or through a proxy. */
bool hf_doctor_is_public(const struct hf_doctor *doctor);
/* The next word of a list with commas; moves *list past it. False at the end. */
bool hf_doctor_next_word(const char **list, size_t size, char *out);

/* Each looks at its part. The data directory first: the others ask who holds it. */
void hf_doctor_look_at_data(struct hf_doctor *doctor);
void hf_doctor_look_at_configuration(struct hf_doctor *doctor);
void hf_doctor_look_at_machine(struct hf_doctor *doctor);
void hf_doctor_look_at_network(struct hf_doctor *doctor);

#endif
