/* group: see group.h. */
#include "group.h"

void hf_group_init(struct hf_group *group)
{
	*group = (struct hf_group){0};
	pthread_mutex_init(&group->lock, NULL);
	pthread_cond_init(&group->changed, NULL);
}

int hf_group_run(struct hf_group *group, struct hf_store *store, struct hf_commit *first, struct hf_commit *last,
	unsigned count)
{
	group->left = count;
	hf_store_submit_chain(store, first, last);
	pthread_mutex_lock(&group->lock);
	while (group->left > 0)
		pthread_cond_wait(&group->changed, &group->lock);
	pthread_mutex_unlock(&group->lock);
	return group->status;
}

void hf_group_done(struct hf_group *group, int status)
{
	pthread_mutex_lock(&group->lock);
	if (status < 0 && group->status == HF_OK)
		group->status = status;
	if (--group->left == 0)
		pthread_cond_signal(&group->changed);
	pthread_mutex_unlock(&group->lock);
}
