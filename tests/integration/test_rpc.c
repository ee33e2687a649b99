/* SPDX-License-Identifier: Apache-2.0 */
/* The RPC with itself on the broker of DROVER_TEST_AMQP: a loop that serves and casts. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/loop.h"
#include "common/rpc.h"
#include "common/text.h"

struct fixture {
	struct rpc_options options;
	struct loop *loop;
	struct rpc *rpc;
	char topic[64];
	ev_timer deadline;
	unsigned ready, wanted, seen;
	char fails[16]; /* letters of the messages that fail yet, once each */
	char order[16];
};

static int on_count(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct fixture *f = arg;

	if (++f->seen == f->wanted)
		loop_quit(f->loop);
	return RPC_DONE;
}

/* Fails in the way that the case of the letter in fails tells: 'A' is the database being
 * away when message "a" comes, 'a' a locked row. */
static int on_order(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct fixture *f = arg;
	const char *letter;
	char *found;

	if (json_get_string(request->args, "letter", &letter, err) < 0)
		return RPC_FAILED;
	strncat(f->order, letter, 1);
	found = strpbrk(f->fails, (char[]) { *letter, *letter - 'a' + 'A', '\0' });
	if (found) {
		bool locked = *found == *letter;

		*found = ' ';
		return error_set(
			err, locked ? ERR_DB_RETRY : ERR_DB_UNAVAILABLE, "not now");
	}
	return on_count(arg, request, result, err);
}

static int on_failing(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	on_count(arg, request, result, err);
	return error_set(err, ERR_INVALID_VOLUME, "it is busy");
}

static const struct rpc_method methods[] = {
	{ "count", on_count },
	{ "order", on_order },
	{ "failing", on_failing },
	{ NULL, NULL },
};

static void on_ready(void *arg)
{
	struct fixture *f = arg;

	f->ready++;
	loop_quit(f->loop);
}

static void on_deadline(EV_P_ ev_timer *watcher, int events)
{
	loop_quit(watcher->data);
}

static void run(struct fixture *f, double seconds)
{
	ev_timer_init(&f->deadline, on_deadline, seconds, 0.);
	f->deadline.data = f->loop;
	ev_timer_start(loop_ev(f->loop), &f->deadline);
	loop_run(f->loop);
	ev_timer_stop(loop_ev(f->loop), &f->deadline);
}

static void check(int rc, const struct error *err)
{
	if (rc < 0)
		fail_msg("%s", err->text);
}

static int set_up(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct rpc_service service = {
		.server = "s1", .version = "1.0", .methods = methods, .arg = f
	};
	struct error err = { 0 };
	char id[HEX_ID_SIZE];

	hex_id_make(id);
	snprintf(f->topic, sizeof(f->topic), "test-%s", id);
	service.topic = f->topic;
	rpc_options_defaults(&f->options);
	f->options.auto_delete = true;
	f->options.exchange = f->topic;
	check(rabbit_url_parse(getenv("DROVER_TEST_AMQP"), &f->options.url, &err),
		&err);
	check(loop_new(&f->loop, &err), &err);
	check(rpc_new(f->loop, &f->options, &f->rpc, &err), &err);
	rpc_on_ready(f->rpc, on_ready, f);
	check(rpc_serve(f->rpc, &service, &err), &err);
	run(f, 20);
	assert_int_equal(f->ready, 1);
	*state = f;
	return 0;
}

static int tear_down(void **state)
{
	struct fixture *f = *state;

	rpc_free(f->rpc);
	loop_free(f->loop);
	rabbit_url_clear(&f->options.url);
	free(f);
	return 0;
}

static int cast(
	struct fixture *f, const char *method, const char *letter, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = json_object_new_object();

	json_add_string(args, "letter", letter);
	return rpc_cast(f->rpc, f->topic, "s1", true, method, "1.0", NULL, args, err);
}

/* About 0.2 s; one delayed acknowledgement of TCP for each would make it 40 s. */
static void a_thousand_casts_are_confirmed_quickly(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };
	double began = clock_seconds();

	for (int i = 0; i < 1000; i++)
		check(cast(f, "count", "x", &err), &err);
	assert_true(clock_seconds() - began < 4);
	f->wanted = 1000;
	run(f, 10);
	assert_int_equal(f->seen, 1000);
}

static void all_three_ways_arrive(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };

	check(cast(f, "count", "x", &err), &err);
	check(rpc_cast(f->rpc, f->topic, NULL, true, "count", "1.0", NULL, NULL, &err),
		&err);
	check(rpc_fanout(f->rpc, f->topic, "count", "1.0", NULL, &err), &err);
	f->wanted = 3;
	run(f, 10);
	assert_int_equal(f->seen, 3);
}

static void a_cast_without_a_queue_is_unroutable(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };

	assert_int_equal(rpc_cast(f->rpc, f->topic, "s2", true, "count", "1.0", NULL,
				 NULL, &err),
		-1);
	assert_int_equal(err.code, ERR_UNROUTABLE);
	check(rpc_cast(f->rpc, f->topic, "s2", false, "count", "1.0", NULL, NULL, &err),
		&err);
}

/* Cast one message for each letter; volumes names the volume of each, ' ' is none. order
 * NULL: the caller looks. */
static void expect_order(struct fixture *f, const char *letters, const char *volumes,
	const char *fails, const char *order)
{
	struct error err = { 0 };
	const char *l, *v;

	strcpy(f->fails, fails);
	for (l = letters, v = volumes; *l; l++, v++) {
		AUTO(json_object_put)
		struct json_object *args = json_object_new_object();

		json_add_string(args, "letter", (char[]) { *l, '\0' });
		if (*v != ' ')
			json_add_string(args, "volume_id", (char[]) { *v, '\0' });
		check(rpc_cast(f->rpc, f->topic, "s1", true, "order", "1.0", NULL, args,
			      &err),
			&err);
	}
	f->wanted = (unsigned)strlen(letters);
	run(f, 20);
	if (order)
		assert_string_equal(f->order, order);
}

static void messages_keep_their_order_while_the_database_is_away(void **state)
{
	expect_order(*state, "abc", "123", "A", "aabc");
}

static void a_locked_row_holds_back_only_its_own_volume(void **state)
{
	expect_order(*state, "abcdef", "1213 1", "a", "abdeacf");
}

static void two_locked_rows_hold_back_two_volumes(void **state)
{
	struct fixture *f = *state;

	expect_order(f, "abcde", "12123", "ab", NULL);
	/* Which volume is free first is a matter of microseconds. */
	if (strcmp(f->order, "abeacbd") != 0)
		assert_string_equal(f->order, "abeabcd");
}

static void a_message_about_no_volume_holds_nothing_back(void **state)
{
	expect_order(*state, "abc", "  1", "a", "abca");
}

static void a_missing_database_holds_everything_back_behind_a_locked_row(void **state)
{
	expect_order(*state, "abcd", "123 ", "aB", "ababcd");
}

static void a_volume_that_waits_twice_keeps_its_order(void **state)
{
	expect_order(*state, "abcd", "1112", "ab", "adabbc");
}

static void a_failing_cast_is_done_with(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };

	check(cast(f, "failing", "x", &err), &err);
	f->wanted = 1;
	run(f, 10);
	f->wanted = 2;
	run(f, 1.5);
	assert_int_equal(f->seen, 1);
}

static void a_stopped_service_takes_nothing_but_can_send(void **state)
{
	struct fixture *f = *state;
	struct error err = { 0 };

	rpc_stop(f->rpc);
	/* With its last consumer the queue went, as it was declared auto_delete. */
	assert_int_equal(cast(f, "count", "x", &err), -1);
	assert_int_equal(err.code, ERR_UNROUTABLE);
	check(rpc_fanout(f->rpc, "nobody", "count", "1.0", NULL, &err), &err);
	run(f, 0.5);
	assert_int_equal(f->seen, 0);
}

static void a_service_added_later_is_served_too(void **state)
{
	struct fixture *f = *state;
	struct rpc_service service = { .topic = f->topic,
		.server = "s2",
		.version = "1.0",
		.methods = methods,
		.arg = f };
	struct error err = { 0 };

	check(rpc_serve(f->rpc, &service, &err), &err);
	assert_int_equal(f->ready, 2);
	check(rpc_cast(f->rpc, f->topic, "s2", true, "count", "1.0", NULL, NULL, &err),
		&err);
	/* One for each of the two. */
	check(rpc_fanout(f->rpc, f->topic, "count", "1.0", NULL, &err), &err);
	f->wanted = 3;
	run(f, 10);
	assert_int_equal(f->seen, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
		TEST(a_thousand_casts_are_confirmed_quickly),
		TEST(all_three_ways_arrive),
		TEST(a_cast_without_a_queue_is_unroutable),
		TEST(messages_keep_their_order_while_the_database_is_away),
		TEST(a_locked_row_holds_back_only_its_own_volume),
		TEST(two_locked_rows_hold_back_two_volumes),
		TEST(a_message_about_no_volume_holds_nothing_back),
		TEST(a_missing_database_holds_everything_back_behind_a_locked_row),
		TEST(a_volume_that_waits_twice_keeps_its_order),
		TEST(a_failing_cast_is_done_with),
		TEST(a_stopped_service_takes_nothing_but_can_send),
		TEST(a_service_added_later_is_served_too),
	};

	if (!getenv("DROVER_TEST_AMQP")) {
		printf("skipped, because DROVER_TEST_AMQP is not set\n");
		return 77;
	}
	return cmocka_run_group_tests(tests, NULL, NULL);
}
