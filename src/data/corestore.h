/* corestore: many cores in one store: made from names and one primary key, opened by key or discovery key.
 *
 * Only open cores take memory; a store may hold any number. A corestore and its cores belong to one thread; commits are carried out
 * by the store's writer and come back through hf_corestore_poll.
 */
#ifndef HF_DATA_CORESTORE_H
#define HF_DATA_CORESTORE_H

#include "data/hypercore/core.h"

#define HF_CORESTORE_COLLECTION 62       /* of the store: a document for each core, its id the discovery key */
#define HF_CORESTORE_NAMES_COLLECTION 63 /* a document for each name, its id a hash of namespace and name */
#define HF_CORESTORE_NAME_BYTES_MAX 256
#define HF_CORESTORE_OPEN_COUNT_MAX 65536

struct hf_corestore_options {
	size_t size;                 /* sizeof this struct */
	struct hf_store *store;      /* borrowed; opened with a schema that passes both collections to hf_corestore_describe */
	struct hf_env *env;
	struct hf_slice primary_key; /* 32 bytes, copied */
	bool blocking;               /* reads wait for the disk */
	void (*wake)(void *context); /* any thread: hf_corestore_poll has something to do; may be NULL */
	void *context;
};

HF_API int hf_corestore_open(struct hf_corestore **out, const struct hf_corestore_options *options, struct hf_failure *failure);
/* Commits what is staged, waits for it, and closes. No core may be open. */
HF_API void hf_corestore_close(struct hf_corestore *store);
/* Whether reads wait for the disk from now on; returns whether they did. For the moment of a thing that its thread may wait for. */
HF_API bool hf_corestore_set_blocking(struct hf_corestore *store, bool blocking);
/* Delivers what commits and thawing did: callbacks and events happen here. Returns whether there was any. */
HF_API bool hf_corestore_poll(struct hf_corestore *store);
/* Waits until all commits so far have been delivered. */
HF_API void hf_corestore_settle(struct hf_corestore *store);
/* Makes what gave HF_EWAIT for being cold resident, on env's executor, then calls done from hf_corestore_poll. Calls at the same time share
 * the work. HF_EBUSY: the executor's queue is full. */
struct hf_corestore_thaw {
	struct hf_corestore_thaw *next;
	void (*done)(struct hf_corestore_thaw *thaw);
};
HF_API int hf_corestore_thaw(struct hf_corestore *store, struct hf_corestore_thaw *thaw);

/* Which core, by the first of these that is given; the rest say how to make it. */
struct hf_core_options {
	size_t size;                      /* sizeof this struct */
	const uint8_t *discovery_key;     /* 32 bytes; opens only what is there */
	const uint8_t *key;               /* HF_CORE_KEY_BYTES */
	const struct hf_manifest *manifest;
	/* an Ed25519 key pair of the caller's: HF_SIGN_SECRET_BYTES; copied. With manifest or key: to sign with */
	const uint8_t *secret_key;
	struct hf_slice name;             /* with name_space */
	const uint8_t *name_space;        /* HF_NAMESPACE_BYTES; NULL: the root */
	unsigned manifest_version;        /* of cores made by name or key pair: 0 (the default, which is 1), 1 or 2 */
	bool compat;                      /* the key is the public key itself, as before version 11 */
	bool must_exist;                  /* HF_ENOTFOUND rather than making it */
	const uint8_t *encryption_key;    /* 32 bytes; NULL: none */
	bool encryption_key_is_block_key;
};
/* HF_ENOTFOUND, HF_EINVAL, HF_EWAIT (cold), HF_EBUSY (HF_CORESTORE_OPEN_COUNT_MAX are open), HF_ECORRUPT, HF_EIO, HF_ENOMEM. A core that
 * is made is staged like any change. */
HF_API int hf_corestore_get(struct hf_corestore *store, const struct hf_core_options *options, struct hf_core **out,
	struct hf_failure *failure);
/* The open core of that discovery key, without a reference of its own; NULL. */
HF_API struct hf_core *hf_corestore_find_open(struct hf_corestore *store, const uint8_t discovery_key[static 32]);
/* All open cores. *cursor starts at 0; NULL at the end. None may be opened or closed meanwhile. */
HF_API struct hf_core *hf_corestore_next_open(struct hf_corestore *store, size_t *cursor);

/* What is kept, without opening it, in the order of making. A non-zero return of each ends it and is returned. Blocking. */
struct hf_core_entry {
	uint8_t key[HF_CORE_KEY_BYTES], discovery_key[32];
	struct hf_slice name; /* empty for none; borrowed */
	uint8_t name_space[HF_NAMESPACE_BYTES];
	uint64_t length, byte_length, fork, contiguous_length;
};
HF_API int hf_corestore_list(struct hf_corestore *store, int (*each)(void *context, const struct hf_core_entry *entry), void *context);
/* One of them, whether open or not. The name lies in *bytes. HF_ENOTFOUND, HF_EWAIT, HF_ECORRUPT, HF_EIO, HF_ENOMEM. */
HF_API int hf_corestore_entry(struct hf_corestore *store, const uint8_t discovery_key[static 32], struct hf_buffer *bytes,
	struct hf_core_entry *entry);
/* Forgets a core that is not open, with all its blocks. HF_EBUSY when it is open. */
HF_API int hf_corestore_drop(struct hf_corestore *store, const uint8_t discovery_key[static 32]);

/* For the store's schema. */
HF_API int hf_corestore_describe(void *context, struct hf_store *store, uint32_t collection, struct hf_slice payload,
	struct hf_doc_key *key,
	uint64_t *terms);

#endif
