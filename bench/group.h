/* group: commits that are submitted together and waited for, so that each group is one write and one sync. */
#ifndef HF_BENCH_GROUP_H
#define HF_BENCH_GROUP_H

#include <pthread.h>

#include "store/store.h"

struct hf_group {
	pthread_mutex_t lock;
	pthread_cond_t changed;
	unsigned left;
	int status; /* the first error */
};

void hf_group_init(struct hf_group *group);
/* Submits a chain of that many commits and waits for all; done of each must call hf_group_done. The first error, or
 * HF_OK. */
int hf_group_run(struct hf_group *group, struct hf_store *store, struct hf_commit *first, struct hf_commit *last,
	unsigned count);
void hf_group_done(struct hf_group *group, int status);

#endif
