/* SPDX-License-Identifier: Apache-2.0 */
/* store_fixture.h - a database with the tables, and rows for the tests of store/.
 *
 * Every test begins with two backends of one manager, SOURCE and TARGET, one backend of
 * another manager, ELSEWHERE, and an available volume "data" of 2 GiB on SOURCE.
 */
#ifndef TESTS_INTEGRATION_STORE_FIXTURE_H
#define TESTS_INTEGRATION_STORE_FIXTURE_H

#include "common/store/attachments.h"
#include "common/store/connect.h"
#include "common/store/connections.h"
#include "common/store/exports.h"
#include "common/store/garbage.h"
#include "common/store/history.h"
#include "common/store/migrations.h"
#include "common/store/operations.h"
#include "common/store/services.h"
#include "common/store/volumes.h"
#include "tests/integration/schema_fixture.h"

#define SOURCE_BACKEND "one@a"
#define TARGET_BACKEND "one@b"
#define ELSEWHERE_BACKEND "two@c"
#define SOURCE SOURCE_BACKEND "#p"
#define TARGET TARGET_BACKEND "#p"
#define ELSEWHERE ELSEWHERE_BACKEND "#p"
#define OWNER "00000000-0000-4000-8000-000000000001"
#define OTHER_OWNER "00000000-0000-4000-8000-000000000002"
#define DOWN_TIME 60.0

struct store {
	struct fixture *fixture;
	struct db *db, *second; /* sessions under test */
	PGconn *psql; /* what everybody else does and sees */
	struct error err;
	char volume[UUID_TEXT_SIZE]; /* S */
};

int store_open(void **state);
int store_close(void **state);
/* Before each test: the rows as above and no others. */
int store_reset(void **state);

#define STORE_TEST(name) cmocka_unit_test_setup(name, store_reset)
/* Runs the tests; 77 without a database. */
#define STORE_MAIN(tests) \
	(getenv("DROVER_TEST_DATABASE") \
			? cmocka_run_group_tests(tests, store_open, store_close) \
			: (puts("skipped, because DROVER_TEST_DATABASE is not set"), \
				  77))

/* Statements of others. */
void sql(struct store *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* One value, malloc'd; "" for null. */
char *sql_value(struct store *s, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void assert_sql(struct store *s, const char *want, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Everything in the tables that store/ writes, as one digest. */
char *sql_everything(struct store *s);

/* The call succeeds; gives its result. */
#define ok(s, call) \
	__extension__({ \
		int result_ = (call); \
		if (result_ < 0) \
			fail_msg("%s", (s)->err.text); \
		result_; \
	})
/* The call fails so. The format may be NULL: any text. */
void assert_error(const struct error *err, enum error_code code, const char *format,
	...) __attribute__((format(printf, 3, 4)));
#define assert_fails(s, call, code, ...) \
	do { \
		assert_int_equal((call), -1); \
		assert_error(&(s)->err, code, __VA_ARGS__); \
	} while (0)

/* Another available volume on host; its id. */
void add_volume(
	struct store *s, const char *name, const char *host, char id[UUID_TEXT_SIZE]);
void add_attachment(struct store *s, const char *volume_id, char id[UUID_TEXT_SIZE]);
void add_snapshot(struct store *s, const char *volume_id);
/* status|migration_status|host of a volume, "-" for null. */
void assert_volume(struct store *s, const char *volume_id, const char *want);

/* A request to move the volume of the test to TARGET. */
struct migration_request request_of(struct store *s, const char *request_id);
/* Admitted and claimed. */
void admit_migration(struct store *s, const char *request_id, struct migration *m);
/* The others are of operations that are no migration, and of attached volumes. */
static inline bool is_of_a_copy(enum phase phase)
{
	return phase != PHASE_WORKING && phase != PHASE_SWAPPING && phase != PHASE_HELD;
}
/* The worker's calls up to the phase; T's object is written down as made. */
void bring_to(struct store *s, struct migration *m, enum phase phase);
/* Claim again: *m gets the new epoch. */
void claim(struct store *s, struct migration *m);

/* Wait until so many sessions of the database wait for a lock. */
void wait_for_waiters(struct store *s, int count);
/* The second session, which listens, is told so within seconds. */
void assert_notified(struct store *s, const char *channel, const char *payload);

#endif
