/* writer_private: what the queue (writer.c) and the groups (group.c) share. */
#ifndef HF_STORE_WRITER_PRIVATE_H
#define HF_STORE_WRITER_PRIVATE_H

#include "store/writer.h"

struct hf_writer_job {
	struct hf_writer_job *next;
	int (*run)(struct hf_store *store, void *context);
	void *context;
	pthread_cond_t wake;
	bool over;
	int status;
};

struct hf_writer {
	struct hf_store *store;
	pthread_t thread;
	bool started;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct hf_commit *first, *last; /* submitted */
	size_t queued;
	bool sleeping, stopping, drain, poked;
	bool baton;  /* somebody holds it */
	bool wanted; /* the writer thread waits for the baton */
	struct hf_writer_job *jobs;

	/* The baton's holder's own. */
	struct hf_commit *pending; /* taken, not yet staged */
	size_t pending_count;
	struct hf_commit *group[HF_STORE_GROUP_COMMITS_MAX];
	size_t group_count;
	bool refuse;               /* it is time to end, and not to write what is queued */
	bool sync;                 /* one of the group asks for the disk */
	uint64_t unsynced_since_us; /* 0: all is synced */
	struct hf_tx tx;
};

/* ---- group.c: for who holds the baton ---- */
/* Stages what is pending, as much as one group holds, writes it and calls done. */
void hf_writer_run_group(struct hf_writer *writer);
/* Between groups: freezes memtables that are nearly full, or that hold back the start of a replay. */
void hf_writer_freeze_full(struct hf_writer *writer);
int hf_writer_sync(struct hf_writer *writer);

#endif
