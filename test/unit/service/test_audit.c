/* The audit log: a chain that shows what was changed or taken out. */
#include "gateway_fixture.h"

#include "codec/hex.h"
#include "service/audit.h"
#include "service/gateway/canonical.h"

static int count_record(void *context, uint64_t number, struct hf_slice record, const uint8_t hash[static 32])
{
	assert_int_equal(number, *(uint64_t *)context);
	++*(uint64_t *)context;
	assert_true(hf_canonical_is_object(record));
	return HF_OK;
}

static struct hf_audit_check check_of(struct ground *g)
{
	struct hf_audit_check check;
	uint64_t count = 0;
	assert_int_equal(hf_audit_read(g->store, 0, count_record, &count, &check), HF_OK);
	assert_int_equal(count, check.count);
	return check;
}

static struct hf_audit *open_audit(struct ground *g)
{
	struct hf_audit *audit;
	assert_int_equal(hf_audit_open(&audit, g->store, &g->env, NULL), HF_OK);
	return audit;
}

static void test_records_are_chained_also_over_a_restart(void **state)
{
	struct ground *g = ground_new(NULL);
	struct hf_audit_check check = check_of(g);
	assert_true(check.is_sound && check.count == 0);
	for (int round = 0; round < 2; round++) {
		struct hf_audit *audit = open_audit(g);
		for (int i = 0; i < 5; i++)
			hf_audit_write(audit, "token.issued", HF_SLICE_LITERAL("{\"b\":1, \"a\":\"x\"}"));
		hf_audit_close(audit);
		check = check_of(g);
		assert_true(check.is_sound);
		assert_int_equal(check.count, 5 * (round + 1));
		hf_state_close(g->state);
		hf_store_close(g->store);
		ground_open_store(g);
		ground_open_state(g);
	}
	hf_audit_write(NULL, "nothing", HF_SLICE_LITERAL("{}"));
	ground_free(g);
}

static void test_what_cannot_be_written_is_told_by_the_next_record(void **state)
{
	struct ground *g = ground_new(NULL);
	struct hf_audit *audit = open_audit(g);
	struct hf_buffer block = {0};
	uint64_t lost;
	hf_audit_write(audit, "wrong", HF_SLICE_LITERAL("[]"));
	hf_audit_write(audit, "wrong", HF_SLICE_LITERAL("{"));
	hf_audit_write(audit, "right", HF_SLICE_LITERAL("{}"));
	hf_audit_close(audit);
	assert_int_equal(hf_store_log_get(g->store, HF_AUDIT_LOG, 0, HF_READ_BLOCKING, &block), HF_OK);
	assert_true(hf_canonical_u64(hf_buffer_slice(&block), "lost", &lost) && lost == 2);
	hf_buffer_free(&block);
	ground_free(g);
}

/* ---- The end of it ---- */

struct heard {
	HF_ATOMIC(uint64_t) count;
	uint64_t next;
};

static void on_written(void *context, uint64_t number, struct hf_slice record)
{
	struct heard *heard = context;
	assert_int_equal(number, atomic_fetch_add(&heard->count, 1));
	assert_true(hf_canonical_is_object(record));
}

static int take_tail(void *context, uint64_t number, struct hf_slice record)
{
	struct heard *heard = context;
	assert_int_equal(number, heard->next++);
	assert_true(hf_canonical_is_object(record));
	return HF_OK;
}

static void test_the_end_is_read_by_itself_and_told_of_as_it_is_written(void **state)
{
	struct ground *g = ground_new(NULL);
	struct heard heard = {0};
	assert_int_equal(hf_audit_tail(g->store, 5, take_tail, &heard), HF_OK);
	struct hf_audit *audit = open_audit(g);
	hf_audit_listen(audit, on_written, &heard);
	for (int i = 0; i < 7; i++)
		hf_audit_write(audit, "token.issued", HF_SLICE_LITERAL("{}"));
	while (atomic_load(&heard.count) < 7)
		usleep(1000);
	hf_audit_listen(audit, NULL, NULL);
	hf_audit_write(audit, "unheard", HF_SLICE_LITERAL("{}"));
	hf_audit_close(audit);
	assert_int_equal(atomic_load(&heard.count), 7);
	heard.next = 5;
	assert_int_equal(hf_audit_tail(g->store, 3, take_tail, &heard), HF_OK);
	assert_int_equal(heard.next, 8);
	heard.next = 0;
	assert_int_equal(hf_audit_tail(g->store, 100, take_tail, &heard), HF_OK);
	assert_int_equal(heard.next, 8);
	ground_free(g);
}

/* ---- Tampering ---- */

struct tampering {
	uint64_t number;
	enum { CHANGE, REMOVE, CUT } how;
	struct hf_buffer block;
};

static int tamper(void *context, struct hf_tx *tx)
{
	struct tampering *t = context;
	const struct iovec block = {t->block.data, t->block.length};
	if (t->how == CHANGE)
		return hf_tx_log_put(tx, HF_AUDIT_LOG, t->number, &block, 1);
	if (t->how == REMOVE)
		return hf_tx_log_clear(tx, HF_AUDIT_LOG, t->number, t->number + 1);
	return hf_tx_log_truncate(tx, HF_AUDIT_LOG, t->number);
}

static void test_what_was_changed_or_taken_out_is_seen(void **state)
{
	static const struct { int how; uint64_t number, fault; } cases[] = {
		{CHANGE, 3, 4}, {CHANGE, 9, 10}, {CHANGE, 0, 1}, {REMOVE, 4, 5}, {REMOVE, 0, 1}, {CUT, 8, 8}, {CUT, 0, 0}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		struct ground *g = ground_new(NULL);
		struct hf_audit *audit = open_audit(g);
		struct tampering t = {.number = cases[i].number, .how = cases[i].how};
		struct hf_audit_check check;
		for (int k = 0; k < 10; k++)
			hf_audit_write(audit, "registration.merged", HF_SLICE_LITERAL("{\"by\":\"peer\"}"));
		hf_audit_close(audit);
		assert_int_equal(hf_store_log_get(g->store, HF_AUDIT_LOG, t.number, HF_READ_BLOCKING, &t.block), HF_OK);
		memcpy(memmem(t.block.data, t.block.length, "peer", 4), "P33r", 4);
		assert_int_equal(hf_store_commit_wait(g->store, HF_DURABLE_DISK, tamper, &t), HF_OK);
		hf_buffer_free(&t.block);
		assert_int_equal(hf_audit_read(g->store, 0, NULL, NULL, &check), HF_OK);
		assert_false(check.is_sound);
		assert_int_equal(check.fault, cases[i].fault);
		ground_free(g);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_records_are_chained_also_over_a_restart),
		cmocka_unit_test(test_what_cannot_be_written_is_told_by_the_next_record),
		cmocka_unit_test(test_the_end_is_read_by_itself_and_told_of_as_it_is_written),
		cmocka_unit_test(test_what_was_changed_or_taken_out_is_seen),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
