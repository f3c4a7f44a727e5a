/* Lists, differences and watches. A shallow list begins anew behind each folder that it comes to. */
#include "data/hyperdrive/drive_private.h"

#include <stdlib.h>

struct hf_drive_list {
	struct hf_drive *drive;
	struct hf_bee_view *view;
	struct hf_bee_iterator *iterator; /* NULL: to be started from the range */
	struct hf_bee_range range;
	struct hf_buffer bounds, start, scratch;
	const struct hf_slice *ignore;
	size_t ignore_count;
	size_t folder_bytes;      /* of the folder's name with the divider behind it, in a key */
	bool is_shallow;
	struct hf_buffer child;   /* the last one's */
	bool child_is_folder;
};

/* ---- Starting ---- */

static bool is_below(struct hf_slice key, struct hf_slice folder)
{
	return key.length >= folder.length && memcmp(key.data, folder.data, folder.length) == 0;
}

/* The key of a name that a list gave, as it is. folder: what all keys below the folder begin with. */
static int key_of(struct hf_slice name, struct hf_slice folder, struct hf_buffer *key)
{
	hf_buffer_clear(key);
	int status = hf_buffer_append(key, HF_DRIVE_PREFIX, HF_DRIVE_PREFIX_BYTES);

	if (status == HF_OK)
		status = hf_buffer_append(key, name.data, name.length);
	return status != HF_OK || is_below(hf_buffer_slice(key), folder) ? status : HF_EINVAL;
}

/* Behind a name: a file's own, or all of the folder of a shallow list that it is in. */
static int start_behind(struct hf_drive_list *list, struct hf_slice after)
{
	int status = key_of(after, list->range.gt, &list->start);

	if (status != HF_OK)
		return status;
	list->range.gt = hf_buffer_slice(&list->start);
	if (!list->is_shallow)
		return HF_OK;
	uint8_t *divider = memchr(list->start.data + list->folder_bytes, '/', list->start.length - list->folder_bytes);

	if (divider == NULL)
		return HF_OK;
	*divider = '0';
	list->range.has_gt = false;
	list->range.has_gte = true;
	list->range.gte = hf_slice(list->start.data, (size_t)(divider + 1 - list->start.data));
	return HF_OK;
}

int hf_drive_list(struct hf_drive *drive, struct hf_bee_view *view, const struct hf_drive_list_options *options,
	struct hf_drive_list **out)
{
	struct hf_drive_list *list;

	if (options->ignore_count > HF_DRIVE_IGNORE_COUNT_MAX)
		return HF_ETOOBIG;
	list = calloc(1, sizeof *list);
	if (list == NULL)
		return HF_ENOMEM;
	*list = (struct hf_drive_list){.drive = drive, .view = view, .ignore = options->ignore, .ignore_count = options->ignore_count,
		.is_shallow = options->is_shallow};
	int status = hf_drive_range(options->folder, &list->bounds, &list->range);

	list->folder_bytes = list->range.gt.length;
	if (status == HF_OK && options->after.length > 0)
		status = start_behind(list, options->after);
	if (status != HF_OK)
		hf_drive_list_free(list);
	else
		*out = list;
	return status;
}

void hf_drive_list_free(struct hf_drive_list *list)
{
	if (list == NULL)
		return;
	hf_bee_iterator_free(list->iterator);
	hf_buffer_free(&list->bounds);
	hf_buffer_free(&list->start);
	hf_buffer_free(&list->scratch);
	hf_buffer_free(&list->child);
	free(list);
}

/* ---- Going on ---- */

static bool is_ignored(const struct hf_drive_list *list, struct hf_slice name)
{
	for (size_t i = 0; i < list->ignore_count; i++) {
		struct hf_slice ignored = list->ignore[i];

		if (name.length >= ignored.length && hf_slice_equal(hf_slice(name.data, ignored.length), ignored)
			&& (name.length == ignored.length || name.data[ignored.length] == '/'))
			return true;
	}
	return false;
}

static int note_child(struct hf_drive_list *list, struct hf_slice key)
{
	struct hf_slice rest = hf_slice(key.data + list->folder_bytes, key.length - list->folder_bytes);
	const uint8_t *divider = rest.length > 0 ? memchr(rest.data, '/', rest.length) : NULL;

	hf_buffer_clear(&list->child);
	list->child_is_folder = divider != NULL;
	if (divider != NULL)
		rest.length = (size_t)(divider - rest.data);
	return rest.length > 0 ? hf_buffer_append(&list->child, rest.data, rest.length) : HF_OK;
}

/* Behind all that is in the folder of the key that was found. */
static int leave_folder(struct hf_drive_list *list, struct hf_slice key)
{
	hf_buffer_clear(&list->start);
	int status = hf_buffer_append(&list->start, key.data, list->folder_bytes);

	if (status == HF_OK && list->child.length > 0)
		status = hf_buffer_append(&list->start, list->child.data, list->child.length);
	if (status == HF_OK)
		status = hf_buffer_append(&list->start, "0", 1);
	if (status != HF_OK)
		return status;
	list->range.has_gt = false;
	list->range.has_gte = true;
	list->range.gte = hf_buffer_slice(&list->start);
	hf_bee_iterator_free(list->iterator);
	list->iterator = NULL;
	return HF_OK;
}

/* Keys of a tree that nobody honest wrote may be elsewhere than where they were looked for. */
static bool is_in_range(const struct hf_drive_list *list, struct hf_slice key)
{
	int order = hf_slice_compare(key, list->range.has_gt ? list->range.gt : list->range.gte);

	return is_below(key, hf_slice(list->bounds.data, list->folder_bytes)) && (order > 0 || (order == 0 && !list->range.has_gt));
}

static int next(struct hf_drive_list *list, struct hf_bee_entry *found)
{
	int status = HF_OK;

	if (list->iterator == NULL)
		status = hf_bee_iterate(list->view, &list->range, &list->iterator);
	if (status == HF_OK)
		status = hf_bee_iterator_next(list->iterator, found);
	if (status == HF_OK && !is_in_range(list, found->key))
		status = HF_EMALFORMED;
	return status == HF_OK ? note_child(list, found->key) : status;
}

int hf_drive_list_next(struct hf_drive_list *list, struct hf_drive_entry *entry)
{
	struct hf_bee_entry found;
	int status;

	do {
		status = next(list, &found);
		if (status == HF_OK)
			status = hf_drive_entry_in_list(&found, &list->scratch, entry);
		if (status == HF_OK && list->is_shallow && list->child_is_folder)
			status = leave_folder(list, found.key);
	} while (status == HF_OK && is_ignored(list, entry->name));
	return status;
}

struct hf_slice hf_drive_list_child(const struct hf_drive_list *list, bool *is_folder)
{
	*is_folder = list->child_is_folder;
	return hf_buffer_slice(&list->child);
}

/* ---- Differences ---- */

struct hf_drive_diff {
	struct hf_bee_diff *found;
	struct hf_buffer left, right;
};

int hf_drive_diff(struct hf_drive *drive, struct hf_bee_view *left, struct hf_bee_view *right, struct hf_slice folder,
	struct hf_slice after, struct hf_drive_diff **out)
{
	struct hf_drive_diff *diff = calloc(1, sizeof *diff);
	struct hf_bee_range range;

	if (diff == NULL)
		return HF_ENOMEM;
	int status = hf_drive_range(folder, &drive->value, &range);

	if (status == HF_OK && after.length > 0) {
		status = key_of(after, range.gt, &drive->key);
		range.gt = hf_buffer_slice(&drive->key);
	}
	if (status == HF_OK)
		status = hf_bee_diff(left, right, &range, &diff->found);
	if (status != HF_OK)
		free(diff);
	else
		*out = diff;
	return status;
}

int hf_drive_diff_next(struct hf_drive_diff *diff, struct hf_drive_difference *difference)
{
	struct hf_bee_difference found;
	int status = hf_bee_diff_next(diff->found, &found);

	if (status != HF_OK)
		return status;
	*difference = (struct hf_drive_difference){.has_left = found.has_left, .has_right = found.has_right};
	if (found.has_left)
		status = hf_drive_entry_in_list(&found.left, &diff->left, &difference->left);
	if (status == HF_OK && found.has_right)
		status = hf_drive_entry_in_list(&found.right, &diff->right, &difference->right);
	return status;
}

void hf_drive_diff_free(struct hf_drive_diff *diff)
{
	if (diff == NULL)
		return;
	hf_bee_diff_free(diff->found);
	hf_buffer_free(&diff->left);
	hf_buffer_free(&diff->right);
	free(diff);
}

/* ---- Watching ---- */

int hf_drive_watch(struct hf_drive *drive, struct hf_slice folder, void (*grew)(void *context), void *context, struct hf_bee_watch **out)
{
	struct hf_bee_range range;
	int status = hf_drive_range(folder, &drive->key, &range);

	return status == HF_OK ? hf_bee_watch(drive->bee, &range, grew, context, out) : status;
}
