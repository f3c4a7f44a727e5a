/* drive: a Hyperdrive: a file system of two cores: a bee of names, and the blobs that they stand for.
 *
 * The bee has a key "files\0/path" for each file, its value an entry in JSON (entry.h). The core of the blobs follows from the bee's
 * core, or is named in the bee's header. The format is npm hyperdrive 13's, and the same operations give the same blocks in both cores.
 * Specification, Hypercore, section 9.2.
 *
 * Reads take a view of the bee: hf_bee_latest(hf_drive_bee(drive)), or a checkout of it. What gives HF_EWAIT is about the bee, and is
 * waited for with hf_bee_wait, but for readers of a file, which have their own (blobs.h).
 *
 * Names are normalised as the package does (name.h). Entries that come back are borrowed until the next call on the drive or its bee.
 *
 * A drive belongs to the thread of its cores.
 */
#ifndef HF_DATA_HYPERDRIVE_DRIVE_H
#define HF_DATA_HYPERDRIVE_DRIVE_H

#include "data/corestore.h"
#include "data/hyperbee/bee.h"
#include "data/hyperblobs/blobs.h"
#include "data/hyperdrive/entry.h"
#include "data/hyperdrive/name.h"

#define HF_DRIVE_LINK_COUNT_MAX 16  /* links that are followed in a row */
#define HF_DRIVE_IGNORE_COUNT_MAX 64

struct hf_drive;

struct hf_drive_options {
	size_t size;                  /* sizeof this struct */
	struct hf_corestore *cores;   /* borrowed */
	const uint8_t *key;           /* HF_CORE_KEY_BYTES; NULL: the drive of name_space */
	const uint8_t *name_space;    /* HF_NAMESPACE_BYTES; NULL: the root */
	struct hf_slice name;         /* of the bee's core in it; empty: "db", as in the package */
	const uint8_t *secret_key;    /* HF_SIGN_SECRET_BYTES: of the caller's own key pair, instead of a name or with key; NULL: none */
	unsigned manifest_version;    /* as in hf_core_options */
	bool compat;
	bool must_exist;              /* HF_ENOTFOUND rather than making it */
	const uint8_t *encryption_key; /* 32 bytes, of both cores; NULL: none */
	size_t cache_bytes_max;       /* of the bee */
};
/* As hf_corestore_get. A drive of somebody else's may not know its blobs yet: see hf_drive_ready. */
HF_API int hf_drive_open(struct hf_drive **out, const struct hf_drive_options *options, struct hf_failure *failure);
/* Gives up what is pending. Views, lists, watches and readers must be closed before. NULL is fine. */
HF_API void hf_drive_close(struct hf_drive *drive);

HF_API struct hf_bee *hf_drive_bee(struct hf_drive *drive);
HF_API struct hf_core *hf_drive_core(const struct hf_drive *drive);  /* of the bee; its key is the drive's */
HF_API struct hf_core *hf_drive_blobs(const struct hf_drive *drive); /* NULL: not known yet */
/* Finds the core of the blobs, if it is not known. HF_EWAIT: the bee's header is not here; HF_ENOTFOUND: nothing of the bee is here;
 * HF_EMALFORMED: it is no drive; and as hf_corestore_get. */
HF_API int hf_drive_ready(struct hf_drive *drive);
/* The key of the blobs of a bee's core that has no key of them in its header. HF_EINVAL: an old core, which must have. HF_ENOMEM. */
HF_API int hf_drive_blobs_key(const struct hf_manifest *manifest, const uint8_t key[static HF_CORE_KEY_BYTES],
	uint8_t blobs_key[static HF_CORE_KEY_BYTES]);

/* ---- Reading ---- */

/* view NULL: the latest, with what is pending. name is normalised. HF_ENOTFOUND; HF_EINVAL, HF_ETOOBIG: the name; HF_EMALFORMED: the
 * entry cannot be read; HF_EWAIT and the rest as hf_bee_get. */
HF_API int hf_drive_entry(struct hf_drive *drive, struct hf_bee_view *view, struct hf_slice name, struct hf_drive_entry *entry);
/* Goes on from links to what they stand for. HF_ECANCELED: more than HF_DRIVE_LINK_COUNT_MAX in a row. */
HF_API int hf_drive_follow(struct hf_drive *drive, struct hf_bee_view *view, struct hf_slice name, struct hf_drive_entry *entry);
/* The bytes of an entry's blob. HF_ENOTFOUND: it has none; as hf_drive_ready; as hf_blob_read. */
HF_API int hf_drive_read(struct hf_drive *drive, const struct hf_drive_entry *entry, const struct hf_blob_range *range,
	struct hf_blob_reader **out);

/* Entries below a folder, in the order of their names. */
struct hf_drive_list;
struct hf_drive_list_options {
	struct hf_slice folder;          /* normalised; "" and "/": all */
	struct hf_slice after;           /* begins behind this name, taken as a list gave it, byte by byte; empty: at the first */
	bool is_shallow;                 /* of what is in a folder below, one entry: the first, or none when that is ignored */
	const struct hf_slice *ignore;   /* names left out, with all below them; normalised, borrowed until the list is freed */
	size_t ignore_count;
};
/* A view must outlive it. HF_EINVAL, HF_ETOOBIG: the folder's name; HF_EINVAL: after is not below the folder; HF_ENOMEM. */
HF_API int hf_drive_list(struct hf_drive *drive, struct hf_bee_view *view, const struct hf_drive_list_options *options,
	struct hf_drive_list **out);
/* HF_ENOTFOUND at the end; as hf_bee_iterator_next. */
HF_API int hf_drive_list_next(struct hf_drive_list *list, struct hf_drive_entry *entry);
/* The part of the last entry's name that is directly in the folder, which is what the package's readdir gives. */
HF_API struct hf_slice hf_drive_list_child(const struct hf_drive_list *list, bool *is_folder);
HF_API void hf_drive_list_free(struct hf_drive_list *list); /* NULL is fine */

/* What two views differ in, below a folder, in ascending order of names; behind the name `after`, as in a list. */
struct hf_drive_difference {
	bool has_left, has_right;
	struct hf_drive_entry left, right;
};
struct hf_drive_diff;
HF_API int hf_drive_diff(struct hf_drive *drive, struct hf_bee_view *left, struct hf_bee_view *right, struct hf_slice folder,
	struct hf_slice after, struct hf_drive_diff **out); /* as hf_bee_diff, and hf_drive_list */
HF_API int hf_drive_diff_next(struct hf_drive_diff *diff, struct hf_drive_difference *difference); /* as hf_drive_list_next */
HF_API void hf_drive_diff_free(struct hf_drive_diff *diff); /* NULL is fine */

/* Tells when something below a folder has changed, as hf_bee_watch: then hf_bee_watch_next, and hf_drive_diff of the two views. */
HF_API int hf_drive_watch(struct hf_drive *drive, struct hf_slice folder, void (*grew)(void *context), void *context,
	struct hf_bee_watch **out);

/* ---- Changing ---- */

/* Changes gather as one batch of the bee until hf_bee_flush; one that stands alone is flushed at once. Blobs are staged as they are
 * written. hf_drive_commit makes one commit of it all, so that no entry is ever seen without its blob.
 *
 * In all: HF_EDENIED: the drive is not writable; HF_EINVAL, HF_ETOOBIG: the name; and as hf_bee_put. metadata: one JSON value as text,
 * or empty. */
struct hf_drive_properties {
	bool is_executable;
	struct hf_slice metadata;
};
/* properties may be NULL. content is written at once, and so is bounded by what may be staged: HF_EBUSY; larger ones are written with a
 * hf_blob_writer on hf_drive_blobs and put by their id. */
HF_API int hf_drive_put(struct hf_drive *drive, struct hf_slice name, const struct hf_drive_properties *properties,
	struct hf_slice content);
HF_API int hf_drive_put_blob(struct hf_drive *drive, struct hf_slice name, const struct hf_drive_properties *properties,
	const struct hf_blob_id *blob); /* NULL: without one */
/* target is kept as it is. HF_EINVAL: it is empty, has a NUL or is not UTF-8; HF_ETOOBIG. */
HF_API int hf_drive_symlink(struct hf_drive *drive, struct hf_slice name, struct hf_slice target, struct hf_slice metadata);
/* Of a file that is there; its blob and metadata stay as they are, every digit of them. HF_ENOTFOUND; HF_EINVAL: it is a link. */
HF_API int hf_drive_set_executable(struct hf_drive *drive, struct hf_slice name, bool is_executable);
HF_API int hf_drive_del(struct hf_drive *drive, struct hf_slice name); /* HF_ENOTFOUND. The blob stays. */
/* Forgets the blob that is stored here, not the entry. HF_ENOTFOUND: there is no such entry, or it has no blob. */
HF_API int hf_drive_clear(struct hf_drive *drive, struct hf_slice name);

/* Takes the drive back to an earlier version, each of its cores onto a fork: the bee to that many blocks, the blobs to the end of the last
 * one that a file of that version has. HF_EINVAL: 0, above the present version, or in the middle of a batch; HF_EBUSY: changes wait to be
 * flushed. */
HF_API int hf_drive_truncate(struct hf_drive *drive, uint64_t version);

/* As hf_core_commit and hf_core_commit_wait, of both cores together. */
HF_API int hf_drive_commit(struct hf_drive *drive, enum hf_durability durability, void (*done)(void *context, int status), void *context);
HF_API int hf_drive_commit_wait(struct hf_drive *drive, enum hf_durability durability);

#endif
