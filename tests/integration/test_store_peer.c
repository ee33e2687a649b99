/* SPDX-License-Identifier: Apache-2.0 */
/* Migrations from a Python cinder-volume to a backend of ours. */
#include "common/store/peer.h"
#include "tests/integration/store_fixture.h"

/* T as a Cinder source makes it: with S's location, which is not T's. */
static void add_target(struct store *s, char id[UUID_TEXT_SIZE])
{
	add_volume(s, "data", TARGET, id);
	sql(s,
		"update public.volumes set migration_status = 'target:%s',"
		" provider_location = 'here:/t' where id = '%s'",
		s->volume, id);
	sql(s,
		"update public.volumes set migration_status = 'completing',"
		" provider_location = 'there:/s' where id = '%s'",
		s->volume);
}

static void assert_place(
	struct store *s, const char *id, const char *name_id, const char *location)
{
	AUTO(free) char *want = text_format("%s|%s", name_id, location);

	assert_sql(s, want,
		"select coalesce(_name_id, '-') || '|' || provider_location"
		" from public.volumes where id = '%s'",
		id);
}

static void names_and_locations_change_places_once(void **state)
{
	struct store *s = *state;
	char target[UUID_TEXT_SIZE];

	add_target(s, target);
	for (int i = 0; i < 2; i++) {
		ok(s, store_peer_exchange(s->db, s->volume, target, &s->err));
		assert_place(s, s->volume, target, "here:/t");
		assert_place(s, target, s->volume, "there:/s");
	}
}

static void a_volume_that_was_moved_before_keeps_its_older_name(void **state)
{
	struct store *s = *state;
	char target[UUID_TEXT_SIZE];

	add_target(s, target);
	sql(s, "update public.volumes set _name_id = '%s' where id = '%s'", OWNER,
		s->volume);
	ok(s, store_peer_exchange(s->db, s->volume, target, &s->err));
	assert_place(s, s->volume, target, "here:/t");
	assert_place(s, target, OWNER, "there:/s");
}

static void only_the_two_of_one_migration(void **state)
{
	struct store *s = *state;
	char other[UUID_TEXT_SIZE];

	add_volume(s, "other", TARGET, other);
	AUTO(free) char *before = sql_everything(s);
	assert_fails(s, store_peer_exchange(s->db, s->volume, other, &s->err),
		ERR_INVALID_VOLUME, NULL);
	assert_fails(s, store_peer_exchange(s->db, s->volume, OWNER, &s->err),
		ERR_VOLUME_NOT_FOUND, NULL);
	assert_fails(s, store_peer_exchange(s->db, s->volume, s->volume, &s->err),
		ERR_INVALID_VOLUME, NULL);
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(before, after);
}

int main(void)
{
	static const struct CMUnitTest tests[] = {
		STORE_TEST(names_and_locations_change_places_once),
		STORE_TEST(a_volume_that_was_moved_before_keeps_its_older_name),
		STORE_TEST(only_the_two_of_one_migration),
	};

	return STORE_MAIN(tests);
}
