#include "store/collect.h"
int hf_collect_one(struct hf_store *store)
{
	return 0;
}
