/* files: the drives of relays, and the one of avatars: opened at the start, a drive that is named and not there is made. */
#include "service/worker/internal.h"

#include "codec/core_key.h"

static int open_drive(struct hf_worker_node *node, const char *text, struct hf_drive **out, struct hf_failure *failure)
{
	struct hf_corestore *cores = hf_core_host_cores(node->options.cores);
	uint8_t key[32], name_space[HF_NAMESPACE_BYTES] = {0};
	struct hf_drive_options options = {.size = sizeof options, .cores = cores};
	if (hf_core_key_decode(key, hf_slice_text(text)) == HF_OK) {
		options.key = key;
		options.must_exist = true;
	} else {
		hf_corestore_namespace(name_space, name_space, hf_slice_text(text));
		options.name_space = name_space;
	}
	bool was_blocking = hf_corestore_set_blocking(cores, true);
	int r = hf_drive_open(out, &options, failure);
	if (r == HF_OK)
		r = hf_drive_commit_wait(*out, HF_DURABLE_DISK);
	hf_corestore_set_blocking(cores, was_blocking);
	if (r == HF_ENOTFOUND)
		return hf_fail(failure, r, "There is no drive %.80s here; `holdfast drive fetch` brings one from a peer.", text);
	return r < 0 ? hf_fail(failure, r, "The drive %.80s cannot be opened: %s.", text, hf_error_text(r)) : r;
}

int hf_worker_open_drives(struct hf_worker_node *node, struct hf_failure *failure)
{
	int r = HF_OK;
	for (size_t i = 0; r == HF_OK && i < node->relay_count; i++)
		if (node->relays[i].settings->drive[0])
			r = open_drive(node, node->relays[i].settings->drive, &node->relays[i].drive, failure);
	if (r == HF_OK && node->options.config->worker_avatars[0])
		r = open_drive(node, node->options.config->worker_avatars, &node->avatars, failure);
	return r;
}

void hf_worker_close_drives(struct hf_worker_node *node)
{
	for (size_t i = 0; i < node->relay_count; i++) {
		hf_drive_close(node->relays[i].drive);
		node->relays[i].drive = NULL;
	}
	hf_drive_close(node->avatars);
	node->avatars = NULL;
}
