/* home: what the examples keep in a directory: a store, and the primary key that the key pairs of named cores follow from. */
#ifndef HOME_H
#define HOME_H

#include <holdfast/corestore.h>

struct home {
	struct hf_env env; /* clocks, random numbers and files: the library uses no others */
	struct hf_store *store;
	uint8_t primary_key[32]; /* secret: who has it can write to all cores made here */
	int lock;
};

/* Makes the directory when it is missing. A failure's sentence is in *failure. */
int home_open(struct home *home, const char *directory, struct hf_failure *failure);
void home_close(struct home *home);

#endif
