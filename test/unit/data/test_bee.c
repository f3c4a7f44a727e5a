/* Bees against a plain array of keys, through random changes, versions and truncations, whole and with only the blocks that were asked for. */
#include "bee_fixture.h"

#define KEYS_MAX 400
#define VERSIONS_MAX 6

struct model {
	unsigned key_count;
	uint64_t fork;
	uint64_t seqs[KEYS_MAX]; /* of the put that counts; 0: the key is not there */
};

static uint64_t random_state;

static unsigned draw(unsigned below)
{
	random_state = random_state * 6364136223846793005u + 1442695040888963407u;
	return (unsigned)((random_state >> 33) % below);
}

static struct hf_slice key_of(unsigned number, char text[static 16])
{
	/* Some have another as their prefix. */
	snprintf(text, 16, number % 5 == 4 ? "k%04u+" : "k%04u", number % 5 == 4 ? number - 1 : number);
	return hf_slice_text(text);
}

/* ---- Both cores ---- */

/* The reader holds nothing but what it is given; its missing blocks come from the writer's core. */
struct pair {
	struct core_node writer_node, reader_node;
	struct hf_core *source;  /* has everything */
	struct hf_core *reader;
	struct hf_bee *bee;      /* what is tested */
	size_t rounds, fetched;  /* waits, and blocks that came */
	bool fetches_all;        /* of what is wanted, else the first alone */
};

static void exchange(struct pair *pair, const struct hf_proof_request *request)
{
	struct hf_buffer bytes = {0};
	struct hf_proof proof;
	bool grew;

	assert_int_equal(hf_core_prove(pair->source, hf_core_fork(pair->reader), request, &bytes, &proof), HF_OK);
	assert_int_equal(hf_core_put_proof(pair->reader, &proof, &grew, NULL), HF_OK);
	hf_buffer_free(&bytes);
}

static void fetch(struct pair *pair, uint64_t block)
{
	struct hf_proof_request request = {.has_block = true, .block.index = block};

	assert_int_equal(hf_core_missing_nodes(pair->reader, block, &request.block.nodes), HF_OK);
	exchange(pair, &request);
	pair->fetched++;
}

static void follow(struct pair *pair)
{
	uint64_t ours = hf_core_length(pair->reader), theirs = hf_core_length(pair->source);
	struct hf_proof_request request = {.wants_manifest = true, .has_upgrade = true, .upgrade = {ours, theirs - ours}};

	if (theirs > ours)
		exchange(pair, &request);
	core_commit(pair->reader);
}

/* Whether to run the operation again. */
static bool waits(struct pair *pair, int status)
{
	size_t count;
	const uint64_t *wants;

	if (status != HF_EWAIT)
		return false;
	assert_non_null(pair);
	wants = hf_bee_wants(pair->bee, &count);
	assert_in_range(count, 1, HF_BEE_WANT_COUNT_MAX);
	assert_false(hf_bitfield_get(hf_core_blocks(pair->reader), wants[0]));
	for (size_t i = 0; i < (pair->fetches_all ? count : 1); i++)
		fetch(pair, wants[i]);
	pair->rounds++;
	return true;
}

/* ---- Against the model ---- */

static void expect_get(struct pair *pair, struct hf_bee_view *view, const struct model *model, unsigned number)
{
	struct hf_bee_entry entry;
	char text[16];
	int status;

	do
		status = hf_bee_get(view, key_of(number, text), &entry);
	while (waits(pair, status));
	assert_int_equal(status, model->seqs[number] > 0 ? HF_OK : HF_ENOTFOUND);
	if (status == HF_OK) {
		assert_int_equal(entry.seq, model->seqs[number]);
		assert_true(hf_slice_equal(entry.key, key_of(number, text)));
	}
}

static struct hf_bee_range random_range(const struct model *model, unsigned *low, unsigned *high, char low_text[static 16],
	char high_text[static 16])
{
	struct hf_bee_range range = {.reverse = draw(2), .has_limit = draw(3) == 0, .limit = draw(10)};

	*low = 0;
	*high = model->key_count;
	if (draw(3) > 0) {
		*low = draw(model->key_count);
		range.has_gt = draw(2);
		range.has_gte = !range.has_gt;
		range.gt = range.gte = key_of(*low, low_text);
		*low += range.has_gt;
	}
	if (draw(3) > 0) {
		*high = draw(model->key_count);
		range.has_lt = draw(2);
		range.has_lte = !range.has_lt;
		range.lt = range.lte = key_of(*high, high_text);
		*high += range.has_lte;
	}
	return range;
}

static void expect_range(struct pair *pair, struct hf_bee_view *view, const struct model *model)
{
	char low_text[16], high_text[16], text[16];
	unsigned low, high, taken = 0;
	struct hf_bee_range range = random_range(model, &low, &high, low_text, high_text);
	struct hf_bee_iterator *iterator;
	struct hf_bee_entry entry;
	int status;

	assert_int_equal(hf_bee_iterate(view, &range, &iterator), HF_OK);
	for (unsigned i = low; i < high && (!range.has_limit || taken < range.limit); i++) {
		unsigned number = range.reverse ? low + high - 1 - i : i;

		if (model->seqs[number] == 0)
			continue;
		do
			status = hf_bee_iterator_next(iterator, &entry);
		while (waits(pair, status));
		assert_int_equal(status, HF_OK);
		assert_int_equal(entry.seq, model->seqs[number]);
		assert_true(hf_slice_equal(entry.key, key_of(number, text)));
		taken++;
	}
	do
		status = hf_bee_iterator_next(iterator, &entry);
	while (waits(pair, status));
	assert_int_equal(status, HF_ENOTFOUND);
	hf_bee_iterator_free(iterator);
}

static void expect_difference(struct pair *pair, struct hf_bee_diff *diff, uint64_t left, uint64_t right)
{
	struct hf_bee_difference found;
	int status;

	do
		status = hf_bee_diff_next(diff, &found);
	while (waits(pair, status));
	assert_int_equal(status, HF_OK);
	assert_int_equal(found.has_left, left > 0);
	assert_int_equal(found.has_right, right > 0);
	if (left > 0)
		assert_int_equal(found.left.seq, left);
	if (right > 0)
		assert_int_equal(found.right.seq, right);
}

/* Of a diff across a truncation, where one of the versions may be the middle of a batch in the history that is looked at. */
static void expect_end(struct pair *pair, struct hf_bee_diff *diff)
{
	struct hf_bee_difference found;
	int status;

	do
		status = hf_bee_diff_next(diff, &found);
	while (status == HF_OK || waits(pair, status));
	assert_true(status == HF_ENOTFOUND || status == HF_EMALFORMED);
	hf_bee_diff_free(diff);
}

static void expect_diff(struct pair *pair, struct hf_bee_view *left, const struct model *left_model, struct hf_bee_view *right,
	const struct model *right_model)
{
	char low_text[16], high_text[16];
	unsigned low, high, taken = 0;
	struct hf_bee_range range = random_range(left_model, &low, &high, low_text, high_text);
	struct hf_bee_difference found;
	struct hf_bee_diff *diff;
	int status;

	do
		status = hf_bee_diff(left, right, &range, &diff);
	while (waits(pair, status));
	assert_int_equal(status, HF_OK);
	if (left_model->fork != right_model->fork) {
		expect_end(pair, diff);
		return;
	}
	for (unsigned i = low; i < high && (!range.has_limit || taken < range.limit); i++)
		if (left_model->seqs[i] != right_model->seqs[i]) {
			expect_difference(pair, diff, left_model->seqs[i], right_model->seqs[i]);
			taken++;
		}
	do
		status = hf_bee_diff_next(diff, &found);
	while (waits(pair, status));
	assert_int_equal(status, HF_ENOTFOUND);
	hf_bee_diff_free(diff);
}

/* ---- Changing ---- */

static void change_one(struct pair *pair, struct hf_bee *bee, struct model *model)
{
	uint64_t seq = hf_bee_version(bee) + hf_bee_pending_count(bee);
	unsigned number = draw(model->key_count), length = draw(40);
	struct hf_bee_entry entry;
	uint8_t bytes[40] = {0};
	struct hf_slice value = hf_slice(bytes, length);
	char text[16];
	int status;

	if (draw(5) < 3) {
		do
			status = hf_bee_put(bee, key_of(number, text), &value, NULL);
		while (waits(pair, status));
		assert_int_equal(status, HF_OK);
		model->seqs[number] = seq;
	} else {
		do
			status = hf_bee_del(bee, key_of(number, text), NULL);
		while (waits(pair, status));
		assert_int_equal(status, model->seqs[number] > 0 ? HF_OK : HF_ENOTFOUND);
		model->seqs[number] = 0;
	}
	number = draw(model->key_count);
	do
		status = hf_bee_get_pending(bee, key_of(number, text), &entry);
	while (waits(pair, status));
	assert_int_equal(status, model->seqs[number] > 0 ? HF_OK : HF_ENOTFOUND);
	if (status == HF_OK)
		assert_int_equal(entry.seq, model->seqs[number]);
}

static void change_some(struct pair *pair, struct hf_bee *bee, struct model *model)
{
	for (unsigned left = 1 + draw(draw(4) == 0 ? 120 : 6); left > 0; left--)
		change_one(pair, bee, model);
	bee_flush(bee);
}

/* ---- Whole bees ---- */

struct versions {
	struct hf_bee_view *views[VERSIONS_MAX];
	struct model models[VERSIONS_MAX];
	unsigned count;
};

static void keep_version(struct hf_bee *bee, const struct model *model, struct versions *versions)
{
	unsigned at = versions->count < VERSIONS_MAX ? versions->count++ : draw(VERSIONS_MAX);

	hf_bee_view_free(versions->views[at]);
	if (draw(2))
		assert_int_equal(hf_bee_snapshot(bee, &versions->views[at]), HF_OK);
	else
		assert_int_equal(hf_bee_checkout(bee, hf_bee_version(bee), &versions->views[at]), HF_OK);
	assert_int_equal(hf_bee_view_version(versions->views[at]), hf_bee_version(bee));
	versions->models[at] = *model;
}

/* Back to a version of this fork, whose view stays as all the others do. */
static void go_back(struct hf_bee *bee, struct model *model, const struct versions *versions)
{
	unsigned at = draw(versions->count);
	uint64_t version = hf_bee_view_version(versions->views[at]);

	if (versions->models[at].fork != model->fork)
		return;
	assert_int_equal(hf_core_truncate(hf_bee_core(bee), version, HF_CORE_NEXT_FORK), HF_OK);
	*model = versions->models[at];
	model->fork = hf_core_fork(hf_bee_core(bee));
}

static void read_some(struct pair *pair, struct hf_bee *bee, const struct model *model, const struct versions *versions)
{
	for (unsigned left = 4; left > 0; left--) {
		unsigned a = draw(versions->count + 1), b = draw(versions->count + 1);
		struct hf_bee_view *left_view = a == versions->count ? hf_bee_latest(bee) : versions->views[a];
		struct hf_bee_view *right_view = b == versions->count ? hf_bee_latest(bee) : versions->views[b];
		const struct model *left_model = a == versions->count ? model : &versions->models[a];
		const struct model *right_model = b == versions->count ? model : &versions->models[b];

		expect_get(pair, left_view, left_model, draw(model->key_count));
		expect_range(pair, left_view, left_model);
		expect_diff(pair, left_view, left_model, right_view, right_model);
	}
}

static void run_sequence(struct hf_core *core, bool truncates)
{
	struct model model = {.key_count = 3 + draw(draw(2) ? 20 : KEYS_MAX - 3)};
	struct hf_bee_options options = {.size = sizeof options, .core = core, .cache_bytes_max = draw(3) == 0 ? 1 : 0};
	struct versions versions = {.count = 0};
	struct hf_bee *bee;

	assert_int_equal(hf_bee_open(&bee, &options), HF_OK);
	for (unsigned round = 0; round < 8; round++) {
		change_some(NULL, bee, &model);
		if (draw(3) == 0)
			keep_version(bee, &model, &versions);
		if (draw(4) == 0)
			core_commit(core);
		read_some(NULL, bee, &model, &versions);
		if (truncates && draw(5) == 0 && versions.count > 0)
			go_back(bee, &model, &versions);
	}
	for (unsigned i = 0; i < versions.count; i++)
		hf_bee_view_free(versions.views[i]);
	hf_bee_close(bee);
}

static void test_random_changes_read_as_a_plain_array_does(void **state)
{
	struct core_node node;
	char name[16];

	(void)state;
	core_node_make(&node, 1);
	for (unsigned sequence = 0; sequence < 200; sequence++) {
		random_state = sequence;
		snprintf(name, sizeof name, "%u", sequence);
		struct hf_core *core = core_by_name(&node, name);

		run_sequence(core, sequence % 2 == 1);
		core_commit(core);
		hf_core_unref(core);
	}
	core_node_remove(&node);
}

/* ---- Sparse bees ---- */

static void open_pair(struct pair *pair)
{
	core_node_make(&pair->writer_node, 1);
	core_node_make(&pair->reader_node, 2);
	pair->source = core_by_name(&pair->writer_node, "bee");
	pair->reader = core_by_key(&pair->reader_node, hf_core_key(pair->source));
}

static void close_pair(struct pair *pair)
{
	hf_bee_close(pair->bee);
	hf_core_unref(pair->source);
	hf_core_unref(pair->reader);
	core_node_remove(&pair->writer_node);
	core_node_remove(&pair->reader_node);
}

static void clear_some(struct hf_core *core)
{
	for (unsigned left = draw(30); left > 0; left--) {
		uint64_t block = draw((unsigned)hf_core_length(core));

		assert_int_equal(hf_core_clear(core, block, block + 1), HF_OK);
	}
}

/* Every wait is for a block that is not held, and no operation waits twice for one. */
static void test_reads_of_a_sparse_bee_wait_and_go_on(void **state)
{
	(void)state;
	for (unsigned sequence = 0; sequence < 10; sequence++) {
		struct model model = {.key_count = 3 + draw(KEYS_MAX - 3)};
		struct versions versions = {.count = 0};
		struct pair pair = {.fetches_all = sequence % 2};

		random_state = sequence;
		open_pair(&pair);
		struct hf_bee_options ours = {.size = sizeof ours, .core = pair.source},
			options = {.size = sizeof options, .core = pair.reader, .cache_bytes_max = sequence % 3 == 0 ? 1 : 0};
		struct hf_bee *writer;

		assert_int_equal(hf_bee_open(&writer, &ours), HF_OK);
		assert_int_equal(hf_bee_open(&pair.bee, &options), HF_OK);
		for (unsigned round = 0; round < 12; round++) {
			change_some(NULL, writer, &model);
			core_commit(pair.source);
			follow(&pair);
			if (round % 3 == 1)
				keep_version(pair.bee, &model, &versions);
			read_some(&pair, pair.bee, &model, &versions);
			clear_some(pair.reader);
		}
		assert_true(pair.rounds > 20);
		for (unsigned i = 0; i < versions.count; i++)
			hf_bee_view_free(versions.views[i]);
		hf_bee_close(writer);
		close_pair(&pair);
	}
}

/* A writer that has lost blocks gets them from a copy, and writes what it would have written. */
static void test_changes_of_a_sparse_bee_wait_and_go_on(void **state)
{
	(void)state;
	for (unsigned sequence = 0; sequence < 10; sequence++) {
		struct model model = {.key_count = 3 + draw(KEYS_MAX - 3)}, twin_model;
		struct pair pair = {.fetches_all = sequence % 2};
		struct core_node other;

		random_state = sequence;
		core_node_make(&pair.writer_node, 1);
		core_node_make(&other, 1);
		pair.reader = bee_core(&pair.writer_node, 3);
		pair.source = bee_core(&other, 3);
		struct hf_bee_options options = {.size = sizeof options, .core = pair.reader, .cache_bytes_max = 1};
		struct hf_bee *twin = bee_on(hf_core_ref(pair.source));

		assert_int_equal(hf_bee_open(&pair.bee, &options), HF_OK);
		twin_model = model;
		for (unsigned round = 0; round < 12; round++) {
			uint64_t random = random_state;

			change_some(NULL, twin, &twin_model);
			core_commit(pair.source);
			random_state = random;
			change_some(&pair, pair.bee, &model);
			assert_memory_equal(&model, &twin_model, sizeof model);
			core_commit(pair.reader);
			clear_some(pair.reader);
			hf_bee_close(pair.bee);
			assert_int_equal(hf_bee_open(&pair.bee, &options), HF_OK);
		}
		uint8_t hash[32], twin_hash[32];

		hf_tree_hash(hf_core_tree(pair.reader), hash);
		hf_tree_hash(hf_core_tree(pair.source), twin_hash);
		assert_memory_equal(hash, twin_hash, 32);
		assert_true(pair.rounds > 10);
		hf_bee_close(twin);
		hf_bee_close(pair.bee);
		hf_core_unref(pair.reader);
		hf_core_unref(pair.source);
		core_node_remove(&pair.writer_node);
		core_node_remove(&other);
	}
}

static void put_many(struct hf_bee *bee, unsigned count, unsigned batch)
{
	char text[16];
	struct hf_slice value = hf_slice_text("value");

	for (unsigned i = 0; i < count; i++) {
		snprintf(text, sizeof text, "key%06u", (i * 7919u) % count);
		assert_int_equal(hf_bee_put(bee, hf_slice_text(text), &value, NULL), HF_OK);
		if ((i + 1) % batch == 0)
			bee_flush(bee);
	}
	bee_flush(bee);
	core_commit(hf_bee_core(bee));
}

/* 10,000 keys make five levels. Node by node the keys are needed before the child is known, so round trips are what can be held low. */
static void test_a_get_takes_a_round_trip_a_level(void **state)
{
	enum { DEPTH = 6 };
	struct pair pair = {.fetches_all = true};
	struct hf_bee_entry entry;
	size_t rounds_max = 0, fetched_max = 0;
	char text[16];
	int status;

	(void)state;
	random_state = 1;
	open_pair(&pair);
	struct hf_bee *writer = bee_on(hf_core_ref(pair.source));

	put_many(writer, 10000, 100);
	follow(&pair);
	for (unsigned i = 0; i < 50; i++) {
		pair.bee = bee_on(hf_core_ref(pair.reader));
		pair.rounds = pair.fetched = 0;
		snprintf(text, sizeof text, "key%06u", draw(10000));
		do
			status = hf_bee_get(hf_bee_latest(pair.bee), hf_slice_text(text), &entry);
		while (waits(&pair, status));
		assert_int_equal(status, HF_OK);
		rounds_max = pair.rounds > rounds_max ? pair.rounds : rounds_max;
		fetched_max = pair.fetched > fetched_max ? pair.fetched : fetched_max;
		hf_bee_close(pair.bee);
		assert_int_equal(hf_core_clear(pair.reader, 0, 10001), HF_OK);
	}
	print_message("%zu round trips, %zu blocks at most\n", rounds_max, fetched_max);
	assert_in_range(rounds_max, 2, DEPTH + 2);
	pair.bee = NULL;
	hf_bee_close(writer);
	close_pair(&pair);
}

static void test_a_range_asks_for_siblings_at_once(void **state)
{
	struct pair pair = {.fetches_all = true};
	struct hf_bee_iterator *iterator;
	static const struct hf_bee_range all;
	struct hf_bee_entry entry;
	unsigned count = 0;
	int status;

	(void)state;
	open_pair(&pair);
	struct hf_bee *writer = bee_on(hf_core_ref(pair.source));

	put_many(writer, 2000, 100);
	follow(&pair);
	pair.bee = bee_on(hf_core_ref(pair.reader));
	assert_int_equal(hf_bee_iterate(hf_bee_latest(pair.bee), &all, &iterator), HF_OK);
	do {
		status = hf_bee_iterator_next(iterator, &entry);
		count += status == HF_OK;
	} while (status == HF_OK || waits(&pair, status));
	assert_int_equal(count, 2000);
	print_message("%zu blocks in %zu round trips\n", pair.fetched, pair.rounds);
	assert_true(pair.fetched >= 5 * pair.rounds);
	hf_bee_iterator_free(iterator);
	hf_bee_close(writer);
	close_pair(&pair);
}

static unsigned readies;

static void on_ready(struct hf_bee_waiter *waiter, int status)
{
	assert_ptr_equal(waiter->context, &readies);
	assert_int_equal(status, HF_OK);
	readies++;
}

static void test_a_waiter_is_told_when_the_needed_block_is_here(void **state)
{
	struct pair pair = {.fetches_all = false};
	struct hf_bee_waiter waiter = {.ready = on_ready, .context = &readies};
	struct hf_bee_entry entry;
	unsigned waits = 0;
	int status;

	(void)state;
	readies = 0;
	open_pair(&pair);
	struct hf_bee *writer = bee_on(hf_core_ref(pair.source));

	put_many(writer, 1000, 100);
	follow(&pair);
	pair.bee = bee_on(hf_core_ref(pair.reader));
	while ((status = hf_bee_get(hf_bee_latest(pair.bee), hf_slice_text("key000500"), &entry)) == HF_EWAIT) {
		assert_int_equal(hf_bee_wait(pair.bee, &waiter), HF_OK);
		assert_int_equal(readies, waits);
		fetch(&pair, waiter.needed);
		core_commit(pair.reader);
		hf_corestore_poll(pair.reader_node.cores);
		assert_int_equal(readies, ++waits);
	}
	assert_int_equal(status, HF_OK);
	assert_true(waits > 3);
	hf_bee_wait_cancel(&waiter);
	for (size_t i = 0; i < HF_BEE_WANT_COUNT_MAX; i++)
		assert_false(waiter.wants[i].is_armed);
	hf_bee_close(writer);
	close_pair(&pair);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_random_changes_read_as_a_plain_array_does),
		cmocka_unit_test(test_reads_of_a_sparse_bee_wait_and_go_on),
		cmocka_unit_test(test_changes_of_a_sparse_bee_wait_and_go_on),
		cmocka_unit_test(test_a_get_takes_a_round_trip_a_level),
		cmocka_unit_test(test_a_waiter_is_told_when_the_needed_block_is_here),
		cmocka_unit_test(test_a_range_asks_for_siblings_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
