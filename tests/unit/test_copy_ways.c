/* SPDX-License-Identifier: Apache-2.0 */
/* The ways in which a copy can be made, and what its caller can do while it runs. */
#include <pthread.h>

#include "tests/unit/test_copy.h"

static const struct {
	const char *name;
	bool source_threads, target_threads;
	enum copy_verify verify;
} ways[] = {
	{ "io_uring", false, false, COPY_VERIFY_READBACK },
	{ "threads", true, true, COPY_VERIFY_READBACK },
	{ "threads to io_uring", true, false, COPY_VERIFY_READBACK },
	{ "io_uring to threads", false, true, COPY_VERIFY_READBACK },
	{ "io_uring, not verified", false, false, COPY_VERIFY_NONE },
	{ "threads, not verified", true, true, COPY_VERIFY_NONE },
};

static void go(struct fixture *f, size_t way)
{
	f->source.no_uring = ways[way].source_threads;
	f->target.no_uring = ways[way].target_threads;
	f->options.verify = ways[way].verify;
}

static void every_way_copies_every_pattern(void **state)
{
	struct fixture *f = *state;
	char receipt[40];

	for (size_t i = 0; i < ARRAY_SIZE(patterns); i++)
		for (size_t way = 0; way < ARRAY_SIZE(ways); way++) {
			const bool verified = ways[way].verify == COPY_VERIFY_READBACK;

			make_pattern(f, &patterns[i]);
			/* Old data, which must not show through. */
			if (way % 2)
				put_bytes(f->target.path, 0, patterns[i].size, 2);
			go(f, way);
			assert_runs(f);
			assert_same(f, patterns[i].size);
			assert_int_equal(
				f->result.copied + f->result.skipped, patterns[i].size);
			if (way == 0)
				snprintf(receipt, sizeof(receipt), "%s",
					f->result.digest);
			assert_string_equal(f->result.digest, verified ? receipt : "");
			assert_int_equal(
				f->result.verified != COPY_VERIFIED_NOT, verified);
			assert_int_equal(
				f->offsets[f->checkpoints - 1], patterns[i].size);
		}
}

/* Blocks of 4 KiB that are zeroes, between such that are not. */
static void small_zeroes_become_holes(void **state)
{
	struct fixture *f = *state;
	struct stat st;

	for (size_t way = 0; way < ARRAY_SIZE(ways); way++) {
		make_file(f->source.path, 4 * MIB);
		for (unsigned i = 0; i < 20; i++) {
			put_bytes(f->source.path, i * 40 * KIB, 4 * KIB, i);
			for (unsigned j = 1; j < 10; j++)
				put_byte(f->source.path, (i * 40 + j * 4) * KIB, 0);
		}
		make_file(f->target.path, 4 * MIB);
		f->options.size = 4 * MIB;
		go(f, way);
		assert_runs(f);
		assert_same(f, 4 * MIB);
		assert_int_equal(f->result.copied, 20 * 4 * KIB);
		assert_int_equal(stat(f->target.path, &st), 0);
		assert_true((uint64_t)st.st_blocks * 512 <= 20 * 4 * KIB + 64 * KIB);
	}
}

/* A million and one pieces cost no more than the data. */
static void many_extents_in_a_chunk_are_copied(void **state)
{
	struct fixture *f = *state;

	for (size_t way = 0; way < ARRAY_SIZE(ways); way++) {
		make_file(f->source.path, 3 * MIB);
		for (unsigned i = 0; i < 3 * 128; i++)
			put_bytes(f->source.path, i * 8 * KIB + (i % 3) * 100, 1000 + i,
				i);
		make_file(f->target.path, 3 * MIB);
		f->options.size = 3 * MIB;
		go(f, way);
		assert_runs(f);
		assert_same(f, 3 * MIB);
	}
}

static void a_copy_without_verification_goes_on(void **state)
{
	struct fixture *f = *state;
	const struct pattern *pattern = &patterns[4];

	f->options.verify = COPY_VERIFY_NONE;
	f->options.checkpoint_bytes = 2 * MIB;
	f->stop_after = 2;
	make_pattern(f, pattern);
	assert_fails(f, ERR_FENCED, "stopped by the test");
	assert_string_equal(f->chains[1], "");
	f->stop_after = 0;
	resume_at(f, 1);
	assert_true(f->options.start > 0);
	assert_runs(f);
	assert_same(f, pattern->size);
	assert_true(f->result.copied <= pattern->size - f->options.start);
}

/* ---- extents that only the driver knows ---- */

struct known {
	uint64_t data, hole;
	unsigned calls;
};

static int next_data(void *arg, uint64_t offset, uint64_t end, uint64_t *data,
	uint64_t *hole, struct error *err)
{
	struct known *known = arg;

	(void)err;
	known->calls++;
	*data = offset > known->data ? offset : known->data;
	*data = offset < known->hole && *data < end ? *data : end;
	*hole = known->hole < end ? known->hole : end;
	return 0;
}

static void the_driver_tells_where_data_is(void **state)
{
	struct fixture *f = *state;
	struct known known = { .data = 3 * MIB + 8192, .hole = 5 * MIB + 4096 };

	make_file(f->source.path, 9 * MIB);
	put_bytes(f->source.path, known.data, known.hole - known.data, 1);
	/* What the driver calls a hole is not even looked at. */
	put_bytes(f->source.path, 7 * MIB, 4096, 1);
	make_file(f->target.path, 9 * MIB);
	f->options.size = 9 * MIB;
	f->source.next_data = next_data;
	f->source.arg = &known;
	assert_runs(f);
	assert_true(known.calls > 0);
	assert_int_equal(f->result.copied, known.hole - known.data);
	AUTO(fd) int hole = open(f->source.path, O_RDWR | O_CLOEXEC);
	assert_int_equal(fallocate(hole, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
				 7 * MIB, 4096),
		0);
	assert_same(f, 9 * MIB);
}

/* ---- orders while it runs ---- */

struct orders {
	struct fixture *f;
	struct copy_control *control;
	struct copy_progress seen;
	unsigned reports;
	bool cancel;
};

static int on_ordered_progress(
	void *arg, const struct copy_progress *progress, struct error *err)
{
	struct orders *orders = arg;

	(void)err;
	assert_true(progress->position >= orders->seen.position);
	orders->seen = *progress;
	orders->reports++;
	return 0;
}

static void prepare_orders(struct fixture *f, struct orders *orders)
{
	make_pattern(f, &patterns[1]);
	f->options.control = orders->control;
	f->options.on_progress = on_ordered_progress;
	f->options.on_checkpoint = NULL;
	f->options.arg = orders;
}

static void *give_orders(void *arg)
{
	struct orders *orders = arg;
	const struct timespec nap = { .tv_nsec = 300000000 };

	nanosleep(&nap, NULL);
	if (orders->cancel)
		atomic_store(&orders->control->cancelled, true);
	atomic_store(&orders->control->rate_limit, 0);
	nanosleep(&nap, NULL);
	atomic_store(&orders->control->paused, false);
	return NULL;
}

static int run_with_orders(struct fixture *f, struct orders *orders)
{
	pthread_t thread;
	int done;

	prepare_orders(f, orders);
	assert_int_equal(pthread_create(&thread, NULL, give_orders, orders), 0);
	done = run(f);
	pthread_join(thread, NULL);
	return done;
}

static void a_paused_copy_waits(void **state)
{
	struct fixture *f = *state;
	struct copy_control control = { .paused = true };
	struct orders orders = { .control = &control };

	assert_int_equal(run_with_orders(f, &orders), 0);
	assert_true(f->result.seconds >= 0.6);
	assert_true(orders.reports >= 2);
	assert_same(f, f->options.size);
}

/* At the first rate it would take a day. */
static void the_rate_can_be_changed(void **state)
{
	struct fixture *f = *state;
	struct copy_control control = { .rate_limit = 100 };
	struct orders orders = { .control = &control };

	assert_int_equal(run_with_orders(f, &orders), 0);
	assert_true(f->result.seconds >= 0.3);
	assert_same(f, f->options.size);
}

static void a_cancelled_copy_ends(void **state)
{
	struct fixture *f = *state;
	struct copy_control control = { .paused = true };
	struct orders orders = { .control = &control, .cancel = true };

	assert_int_equal(run_with_orders(f, &orders), -1);
	assert_int_equal(f->err.code, ERR_CANCELLED);
	assert_non_null(strstr(f->err.text, "of 9437184 bytes were copied"));
}

/* ---- names and facts ---- */

static void endpoints_are_named_as_people_do(void **state)
{
	struct endpoint end;
	struct error err;
	char *longest = calloc(1, 2 * ENDPOINT_URI_SIZE);
	static const char *const wrong[] = { "", "http://host/", "ssh://host/file",
		"NBD://host/", "nbd+vsock://1/" };

	(void)state;
	assert_int_equal(endpoint_parse("disk.img", &end, &err), 0);
	assert_string_equal(end.path, "disk.img");
	assert_string_equal(endpoint_name(&end), "disk.img");
	assert_int_equal(endpoint_parse("nbd+unix:///a?socket=/s", &end, &err), 0);
	assert_string_equal(end.uri, "nbd+unix:///a?socket=/s");
	assert_string_equal(end.path, "");
	assert_int_equal(endpoint_parse("a:b//c", &end, &err), 0);
	assert_string_equal(end.path, "a:b//c");
	for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
		assert_int_equal(endpoint_parse(wrong[i], &end, &err), -1);
		assert_int_equal(err.code, ERR_USAGE);
	}
	memset(longest, 'a', 2 * ENDPOINT_URI_SIZE - 1);
	assert_int_equal(endpoint_parse(longest, &end, &err), -1);
	memcpy(longest, "nbd://", 6);
	assert_int_equal(endpoint_parse(longest, &end, &err), -1);
	assert_non_null(strstr(err.text, "too long"));
	free(longest);
}

static void a_file_has_an_identity(void **state)
{
	struct fixture *f = *state;
	struct endpoint_facts before, after;

	make_pattern(f, &patterns[5]);
	assert_int_equal(endpoint_look(&f->source, "source", 0, &before, &f->err), 0);
	assert_int_equal(before.kind, ENDPOINT_FILE);
	assert_int_equal(before.size, patterns[5].size);
	put_byte(f->source.path, 0, 1);
	assert_int_equal(endpoint_look(&f->source, "source", 0, &after, &f->err), 0);
	assert_int_equal(before.inode, after.inode);
	assert_true(after.mtime_ns > before.mtime_ns);
	snprintf(f->source.path, sizeof(f->source.path), "%.200s/nothing",
		f->scratch.path);
	assert_int_equal(endpoint_look(&f->source, "source", 0, &after, &f->err), -1);
	assert_non_null(strstr(f->err.text, "cannot open source '"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_way_copies_every_pattern),
		TEST(small_zeroes_become_holes),
		TEST(many_extents_in_a_chunk_are_copied),
		TEST(a_copy_without_verification_goes_on),
		TEST(the_driver_tells_where_data_is),
		TEST(a_paused_copy_waits),
		TEST(the_rate_can_be_changed),
		TEST(a_cancelled_copy_ends),
		cmocka_unit_test(endpoints_are_named_as_people_do),
		TEST(a_file_has_an_identity),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
