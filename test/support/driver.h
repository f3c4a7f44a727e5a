/* driver: what the drivers of differential tests have in common: a command is one JSON object on a line of standard input, {"do": NAME, …},
 * and its answer one on a line of standard output, with "error" when it failed. */
#ifndef HF_TEST_SUPPORT_DRIVER_H
#define HF_TEST_SUPPORT_DRIVER_H

#include <jansson.h>

#include "net/loop.h"

/* A member of the answer for each thing to tell; the error goes into it by its name. HF_ENOTFOUND: there is no such command. */
typedef int driver_perform(const char *name, const json_t *command, json_t *answer);

/* Runs the loop, on which commands are performed one after the other, until the input ends. */
void driver_run(struct hf_loop *loop, driver_perform *perform);

uint64_t driver_number(const json_t *command, const char *name); /* 0: it is not there */
_Noreturn void driver_die(const char *what);

#endif
