/* What a test asks of the disk and sets for it: when it dies or fails, how much it takes, what it has done. */
#include "support/power_fs_private.h"

#include <fcntl.h>
#include <unistd.h>

static void set_locked(struct power_fs *power, uint64_t *field, uint64_t value)
{
	pthread_mutex_lock(&power->mutex);
	*field = value;
	pthread_mutex_unlock(&power->mutex);
}

static uint64_t get_locked(struct power_fs *power, const uint64_t *field)
{
	pthread_mutex_lock(&power->mutex);
	uint64_t value = *field;
	pthread_mutex_unlock(&power->mutex);
	return value;
}

void power_fs_die_at_sync(struct power_fs *power, uint64_t n)
{
	set_locked(power, &power->die_in_syncs, n);
}

void power_fs_die_now(struct power_fs *power)
{
	atomic_store(&power->dead, true);
}

bool power_fs_is_dead(struct power_fs *power)
{
	return atomic_load(&power->dead);
}

uint64_t power_fs_sync_count(struct power_fs *power)
{
	return get_locked(power, &power->sync_count);
}

uint64_t power_fs_write_count(struct power_fs *power)
{
	return get_locked(power, &power->write_count);
}

uint64_t power_fs_written_bytes(struct power_fs *power)
{
	return get_locked(power, &power->written_bytes);
}

void power_fs_limit_bytes(struct power_fs *power, uint64_t bytes)
{
	set_locked(power, &power->bytes_left, bytes);
}

void power_fs_fail_write(struct power_fs *power, uint64_t n)
{
	set_locked(power, &power->fail_in_writes, n);
}

void power_fs_fail_sync(struct power_fs *power, uint64_t n)
{
	set_locked(power, &power->fail_in_syncs, n);
}

int power_fs_flip_bit(struct power_fs *power, const char *path, uint64_t offset, unsigned bit)
{
	int descriptor = open(path, O_RDWR | O_CLOEXEC);
	if (descriptor < 0)
		return HF_ENOTFOUND;
	uint8_t byte;
	int error = HF_EINVAL;
	if (power_fs_transfer_all(pread, descriptor, &byte, 1, offset)) {
		byte ^= (uint8_t)(1u << (bit & 7));
		error = power_fs_transfer_all(power_fs_write_at, descriptor, &byte, 1, offset) ? HF_OK : HF_EIO;
	}
	close(descriptor);
	return error;
}
