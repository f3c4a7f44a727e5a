/* core_driver: what its parts share. */
#ifndef HF_TEST_CORE_DRIVER_H
#define HF_TEST_CORE_DRIVER_H

#include <jansson.h>

#include "data/corestore.h"
#include "data/hyperbee/bee.h"
#include "data/hyperdrive/drive.h"

#define DRIVER_VIEWS_MAX 8

struct driver {
	struct hf_env env;
	const char *directory;
	struct hf_store *store;
	struct hf_corestore *cores;
	struct slot *slots;
	struct hf_failure failure;
};

struct slot {
	struct hf_core *core;
	struct hf_reorg reorg;
	struct hf_buffer signature; /* of the fork that is being gone over to */
	struct hf_bee *bee;         /* NULL: it was not opened as one */
	struct hf_bee_view *views[DRIVER_VIEWS_MAX];
	struct hf_drive *drive;     /* the same */
};

struct driver_command {
	const char *name;
	int (*run)(struct driver *d, struct slot *slot, const json_t *command, json_t *answer);
};
/* bee_driver.c; NULL at the end. */
extern const struct driver_command bee_commands[];
void close_bee(struct slot *slot);
/* drive_driver.c; the same. */
extern const struct driver_command drive_commands[];
int do_drive_open(struct driver *d, struct slot *slot, const json_t *command, json_t *answer);
void close_drive(struct slot *slot);

void close_slot(struct slot *slot);

void die(const char *what) __attribute__((noreturn));
uint64_t number(const json_t *command, const char *name);
/* Bytes in hex, allocated; NULL when the member is not there. *length is what there is, or what there must be when it is not 0. */
uint8_t *bytes(const json_t *command, const char *name, size_t *length);
void set_hex(json_t *answer, const char *name, struct hf_slice value);
void set_number(json_t *answer, const char *name, uint64_t value);

#endif
