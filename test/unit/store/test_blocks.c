/* Logs against a plain model, over closes and crashes. */
#include "store_test.h"

#define LOGS 6
#define LENGTH_MAX 400

static struct hf_env env;

struct model_log {
	bool exists;
	uint64_t length;
	uint32_t value[LENGTH_MAX]; /* 0: hole */
};

struct model {
	struct hf_store *store;
	struct model_log logs[LOGS], staged[LOGS];
	uint64_t random;
	uint32_t next_value;
	int fail; /* what stage answers */
};

static uint64_t draw(struct model *m, uint64_t below)
{
	m->random = m->random * 6364136223846793005u + 1442695040888963407u;
	return (m->random >> 33) % below;
}

static size_t block_of(uint32_t value, uint8_t block[600])
{
	size_t length = 4 + value % 300;

	for (size_t i = 0; i < length; i++)
		block[i] = (uint8_t)(value + i);
	hf_store_le32(block, value);
	return length;
}

static void check_log(struct model *m, uint64_t number)
{
	struct hf_buffer block = {0};
	const struct model_log *log = &m->logs[number];
	uint8_t expected[600];
	uint64_t length;
	int status = hf_store_log_length(m->store, number, &length);

	assert_int_equal(status, log->exists ? HF_OK : HF_ENOTFOUND);
	if (log->exists)
		assert_int_equal(length, log->length);
	for (uint64_t i = 0; i < LENGTH_MAX; i++) {
		bool here = log->exists && i < log->length && log->value[i] != 0;

		status = hf_store_log_get(m->store, number, i, HF_READ_BLOCKING, &block);
		assert_int_equal(status, here ? HF_OK : HF_ENOTFOUND);
		if (!here)
			continue;
		size_t bytes = block_of(log->value[i], expected);

		assert_int_equal(block.length, bytes);
		assert_memory_equal(block.data, expected, bytes);
	}
	hf_buffer_free(&block);
}

static void put(struct model *m, struct hf_tx *tx, uint64_t number, uint64_t index, bool append)
{
	struct model_log *log = &m->staged[number];
	uint8_t block[600];
	uint64_t got = 0;
	uint32_t value = ++m->next_value;
	struct iovec slice = {block, block_of(value, block)};

	if (append)
		assert_int_equal(hf_tx_log_append(tx, number, &slice, 1, &got), HF_OK);
	else
		assert_int_equal(hf_tx_log_put(tx, number, index, &slice, 1), HF_OK);
	if (append)
		assert_int_equal(got, index);
	if (!log->exists)
		memset(log, 0, sizeof *log);
	log->exists = true;
	log->value[index] = value;
	if (log->length <= index)
		log->length = index + 1;
}

static void change(struct model *m, struct hf_tx *tx)
{
	uint64_t number = draw(m, LOGS), kind = draw(m, 40);
	struct model_log *log = &m->staged[number];
	uint64_t length = log->exists ? log->length : 0;

	if (kind < 25 && length < LENGTH_MAX) {
		put(m, tx, number, length, true);
	} else if (kind < 32) {
		put(m, tx, number, draw(m, LENGTH_MAX), false);
	} else if (kind < 35) {
		uint64_t to = draw(m, length + 1);

		assert_int_equal(hf_tx_log_truncate(tx, number, to), log->exists ? HF_OK : HF_ENOTFOUND);
		for (uint64_t i = to; i < length; i++)
			log->value[i] = 0;
		log->length = log->exists ? to : 0;
	} else if (kind < 39) {
		uint64_t from = draw(m, length + 1), to = from + draw(m, 50);

		assert_int_equal(hf_tx_log_clear(tx, number, from, to), log->exists ? HF_OK : HF_ENOTFOUND);
		for (uint64_t i = from; i < to && i < length; i++)
			log->value[i] = 0;
	} else {
		assert_int_equal(hf_tx_log_drop(tx, number), log->exists ? HF_OK : HF_ENOTFOUND);
		memset(log, 0, sizeof *log);
	}
}

static int stage(void *context, struct hf_tx *tx)
{
	struct model *m = context;

	memcpy(m->staged, m->logs, sizeof m->logs);
	for (uint64_t n = 1 + draw(m, 12); n > 0; n--)
		change(m, tx);
	return m->fail;
}

static void open_model(struct model *m, const char *directory)
{
	struct hf_store_options options = test_options(&env, directory);
	struct hf_failure failure;

	options.log_segment_bytes = 64 << 10;
	if (hf_store_open(&m->store, &options, &failure) != HF_OK)
		fail_msg("%s", failure.text);
}

static void test_logs_follow_the_model_over_closes_and_crashes(void **state)
{
	char directory[64];
	struct model *m = calloc(1, sizeof *m);

	(void)state;
	test_directory(directory);
	m->random = 42;
	for (int round = 0; round < 60; round++) {
		open_model(m, directory);
		for (uint64_t i = 0; i < LOGS; i++)
			check_log(m, i);
		for (int i = 0; i < 20; i++) {
			m->fail = draw(m, 10) == 0 ? HF_EDENIED : HF_OK;
			assert_int_equal(hf_store_commit_wait(m->store, HF_DURABLE_OS, stage, m), m->fail);
			if (m->fail == HF_OK)
				memcpy(m->logs, m->staged, sizeof m->logs);
			check_log(m, draw(m, LOGS));
		}
		assert_int_equal(hf_store_verify(m->store, NULL, NULL), HF_OK);
		if (draw(m, 3) == 0)
			hf_store_abandon(m->store);
		else
			hf_store_close(m->store);
	}
	free(m);
	test_remove(directory);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_logs_follow_the_model_over_closes_and_crashes),
	};

	hf_env_system(&env);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
