#include "cli/input.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_BYTES (1u << 20)
#define PAUSE_MS 20
#define STOP_MS 100 /* between looks whether it is to stop */

int hf_cli_input_open(struct hf_cli_input *in, const char *path, struct hf_failure *failure)
{
	struct stat status;
	in->descriptor = path ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (in->descriptor < 0)
		return hf_fail(failure, HF_EIO, "The file %s cannot be opened: %s.", path, strerror(errno));
	if (fstat(in->descriptor, &status) == 0 && S_ISREG(status.st_mode))
		in->total_bytes = (uint64_t)status.st_size;
	return HF_OK;
}

void hf_cli_input_close(struct hf_cli_input *in)
{
	if (in->descriptor != STDIN_FILENO && in->descriptor >= 0)
		close(in->descriptor);
	hf_buffer_free(&in->bytes);
}

bool hf_cli_input_is_terminal(const struct hf_cli_input *in)
{
	return isatty(in->descriptor) == 1;
}

bool hf_cli_input_pauses(const struct hf_cli_input *in)
{
	struct pollfd wait = {.fd = in->descriptor, .events = POLLIN};
	return poll(&wait, 1, PAUSE_MS) == 0;
}

int hf_cli_input_read(struct hf_cli_input *in, struct hf_failure *failure)
{
	struct pollfd wait = {.fd = in->descriptor, .events = POLLIN};
	if (hf_buffer_reserve(&in->bytes, READ_BYTES) < 0)
		return hf_fail(failure, HF_ENOMEM, "Out of memory.");
	while (in->stop && !atomic_load(in->stop) && poll(&wait, 1, STOP_MS) == 0)
		;
	if (in->stop && atomic_load(in->stop)) {
		in->at_end = true;
		return HF_OK;
	}
	ssize_t got = read(in->descriptor, in->bytes.data + in->bytes.length, READ_BYTES);
	if (got < 0)
		return errno == EINTR ? HF_OK : hf_fail(failure, HF_EIO, "Reading the input failed: %s.", strerror(errno));
	in->at_end = got == 0;
	in->bytes.length += (size_t)got;
	in->read_bytes += (uint64_t)got;
	return HF_OK;
}

bool hf_cli_input_line(const struct hf_cli_input *in, size_t at, size_t bytes_max, size_t *length, size_t *used)
{
	size_t left = in->bytes.length - at;
	const uint8_t *end = left ? memchr(in->bytes.data + at, '\n', left) : NULL;
	*length = end ? (size_t)(end - (in->bytes.data + at)) : left;
	*used = *length + (end != NULL);
	return end || (left > 0 && (in->at_end || left > bytes_max));
}
