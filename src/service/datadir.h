/* datadir: the directory that a node needs, and nothing else.
 *
 *   FORMAT      one line "holdfast 1": the version of the layout; an unknown one is refused
 *   LOCK        held (flock) by the one process that uses the directory; its text says which
 *   keys/       the key ring, one file a key, 0600 (crypto/keys.h)
 *   store/      the store (store/store.h)
 *   admin.sock  where a running gateway takes administration
 *
 * The directory is 0700. A command line tool takes LOCK when it is free and works directly, else it goes
 * through admin.sock.
 */
#ifndef HF_SERVICE_DATADIR_H
#define HF_SERVICE_DATADIR_H

#include "base/env.h"
#include "base/metrics.h"
#include "service/config.h"
#include "store/store.h"

#define HF_DATADIR_FORMAT_VERSION 1

struct hf_datadir {
	char path[HF_PATH_BYTES_MAX];
	struct hf_env *env;
	int lock_descriptor; /* -1 when closed */
};

/* Takes LOCK. With create, a missing or empty directory is made one. HF_EBUSY: another process holds it, and the
 * sentence says which; HF_ENOTFOUND: not there, or it is no data directory; HF_EVERSION; HF_EEXISTS: it is not ours, or we may not use it;
 * HF_EIO. */
int hf_datadir_open(struct hf_datadir *directory, struct hf_env *env, const char *path, bool create, struct hf_failure *failure);
void hf_datadir_close(struct hf_datadir *directory); /* closed or zeroed with lock_descriptor -1 is fine */
/* path of a file in it. HF_ETOOBIG. */
int hf_datadir_path(const struct hf_datadir *directory, const char *name, char out[static HF_PATH_BYTES_MAX]);
/* Opens the store as the configuration says: it takes cores (data/corestore.h) in their collections, and events in all others. */
int hf_datadir_open_store(const struct hf_datadir *directory, const struct hf_config *config, struct hf_metrics *metrics,
	bool read_only, struct hf_store **store, struct hf_failure *failure);

#endif
