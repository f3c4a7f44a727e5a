/* name: the names of a drive's files: absolute paths with '/' between their parts.
 *
 * What is given is normalised as the package does it: parts are divided by '/' and '\', empty ones and "." are left out, ".." takes the
 * part before it away, and what stands before a colon in the first part ("file:", "C:", with the host of other schemes) is left out.
 */
#ifndef HF_DATA_HYPERDRIVE_NAME_H
#define HF_DATA_HYPERDRIVE_NAME_H

#include "base/bytes.h"
#include "base/error.h"

#define HF_DRIVE_NAME_BYTES_MAX 4095

/* Appends the name of a file. HF_EINVAL: it leads above the root, is the root, has a NUL or is not UTF-8; HF_ETOOBIG; HF_ENOMEM. */
HF_API int hf_drive_name(struct hf_slice given, struct hf_buffer *out);
/* The same of a folder; the root is "". */
HF_API int hf_drive_folder(struct hf_slice given, struct hf_buffer *out);
/* What a link's target means to a link of that (normalised) name: a relative one goes on from the link's own name, as in the package, so
 * that a neighbour is "../neighbour". */
HF_API int hf_drive_resolve(struct hf_slice name, struct hf_slice target, struct hf_buffer *out);
/* Says in *failure what hf_drive_name found wrong, and returns code. */
HF_API int hf_drive_name_fail(struct hf_failure *failure, int code, struct hf_slice given);
/* Whether a name that came from outside is one that hf_drive_name gives, and so may be made in a folder: "/a/b", without "." and "..". */
HF_API bool hf_drive_name_is_sound(struct hf_slice name);

#endif
