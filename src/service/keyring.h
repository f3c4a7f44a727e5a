/* keyring: the key ring (crypto/keys.h) in a folder of the data directory, one file a key, 0600. */
#ifndef HF_SERVICE_KEYRING_H
#define HF_SERVICE_KEYRING_H

#include "crypto/keys.h"
#include "service/datadir.h"

/* Loads the ring of the folder ("keys", or "keys/<relay>" for a relay other than main), making the folder when it is
 * missing. HF_EDENIED when a file can be read by others; HF_ECORRUPT, HF_EVERSION with the file's name; HF_EIO. */
int hf_keyring_open(struct hf_keys **out, const struct hf_datadir *directory, const char *folder, struct hf_failure *failure);
/* Makes and activates a key of that purpose when there is no active one, and saves it. */
int hf_keyring_ensure(struct hf_keys *keys, const struct hf_datadir *directory, const char *folder, enum hf_key_purpose purpose,
	struct hf_failure *failure);
/* Writes what changed. */
int hf_keyring_save(struct hf_keys *keys, const struct hf_datadir *directory, const char *folder, struct hf_failure *failure);

#endif
