/* SPDX-License-Identifier: Apache-2.0 */
/* Attachments: rows as a running Cinder writes them, statuses that follow from them. */
#include "tests/integration/store_fixture.h"

#include "common/store/deletes.h"
#include "common/store/looks.h"

#define GUEST "11111111-2222-4333-8444-555555555555"
#define OTHER_GUEST "21111111-2222-4333-8444-555555555555"
#define CONNECTOR \
	"{\"platform\": \"x86_64\", \"ip\": \"127.0.0.11\", \"host\": \"compute1\"," \
	" \"multipath\": false}"

static struct json_object *parse(const char *text)
{
	struct json_object *o;

	assert_int_equal(json_parse(text, strlen(text), &o, NULL), 0);
	return o;
}

/* What cinder-api does first: mode 'null' is what it writes for none, NULL while the
 * request that makes the attachment is still being served. */
static void reserve(struct store *s, const char *mode, char id[UUID_TEXT_SIZE])
{
	uuid_make(id);
	sql(s,
		"update public.volumes set status = 'reserved' where id = '%s';"
		" insert into public.volume_attachment (id, volume_id, instance_uuid,"
		" attach_status, created_at, deleted, attach_mode, connection_info)"
		" values ('%s', '%s', '" GUEST "', 'reserved', localtimestamp, false,"
		" %s%s%s, %s)",
		s->volume, id, s->volume, mode ? "'" : "", mode ? mode : "null",
		mode ? "'" : "", mode ? "'{}'" : "null");
}

static int connect_by(struct store *s, const char *id, const char *connector)
{
	AUTO(json_object_put) struct json_object *o = parse(connector);
	struct attachment_request request = { .volume_id = s->volume,
		.attachment_id = id,
		.volume_host = SOURCE,
		.connector = o };

	return store_attachment_connect(s->db, &request, &s->err);
}

/* status|attach_status of S. */
static void assert_status(struct store *s, const char *want)
{
	assert_sql(s, want,
		"select concat_ws('|', status, attach_status) from public.volumes"
		" where id = '%s'",
		s->volume);
}

static void metadata(struct store *s, const char *key, const char *value)
{
	sql(s,
		"insert into public.volume_admin_metadata (volume_id, key, value,"
		" deleted) values ('%s', '%s', '%s', false)",
		s->volume, key, value);
}

/* ---- attachment_update ---- */

static void a_connector_makes_it_attaching(void **state)
{
	struct store *s = *state;
	char id[UUID_TEXT_SIZE];

	reserve(s, "null", id);
	ok(s, connect_by(s, id, CONNECTOR));
	assert_status(s, "attaching|attaching");
	assert_sql(s, "attaching|compute1|na|rw|" GUEST "|{}|t|t",
		"select concat_ws('|', attach_status, attached_host, mountpoint,"
		" attach_mode, instance_uuid, connection_info,"
		" attach_time = updated_at, detach_time is null)"
		" from public.volume_attachment");
	assert_sql(s, "t",
		"select connector::jsonb = '" CONNECTOR "'::jsonb"
		" from public.volume_attachment");
}

static void assert_mode(struct store *s, const char *mode, const char *connector,
	const char *row, const char *kept)
{
	char id[UUID_TEXT_SIZE];

	sql(s, "delete from public.volume_attachment");
	reserve(s, mode, id);
	ok(s, connect_by(s, id, connector));
	assert_sql(s, row,
		"select coalesce(attach_mode, 'NULL') from public.volume_attachment");
	assert_sql(s, kept,
		"select coalesce((connector::jsonb->'mode')::text, 'none')"
		" from public.volume_attachment");
}

static void the_mode_is_that_of_the_attachment_else_of_the_connector(void **state)
{
	struct store *s = *state;

	assert_mode(s, "null", "{\"host\": \"h\"}", "rw", "none");
	assert_mode(s, "null", "{\"host\": \"h\", \"mode\": \"ro\"}", "ro", "\"ro\"");
	assert_mode(s, "null", "{\"host\": \"h\", \"mode\": null}", "NULL", "null");
	assert_mode(s, "ro", "{\"host\": \"h\", \"mode\": \"rw\"}", "ro", "\"ro\"");
	/* Made and connected in one request: nobody has said a mode yet. */
	assert_mode(s, NULL, "{\"host\": \"h\"}", "NULL", "null");
	assert_mode(s, NULL, "{\"host\": \"h\", \"mode\": \"rw\"}", "NULL", "null");
	/* A connector need not have a host where nothing is made for it. */
	assert_mode(s, "null", "{}", "rw", "none");
	assert_sql(s, "[]na",
		"select '[' || attached_host || ']' || mountpoint"
		" from public.volume_attachment");
	assert_mode(s, "null", "{\"mountpoint\": \"/dev/vdc\"}", "rw", "none");
	assert_sql(s, "/dev/vdc", "select mountpoint from public.volume_attachment");
}

static void a_duplicate_does_not_undo_what_was_completed(void **state)
{
	struct store *s = *state;
	char id[UUID_TEXT_SIZE];

	reserve(s, "null", id);
	ok(s, connect_by(s, id, CONNECTOR));
	sql(s,
		"update public.volume_attachment set attach_status = 'attached';"
		" update public.volumes set status = 'in-use',"
		" attach_status = 'attached'");
	AUTO(free) char *before = sql_everything(s);
	ok(s, connect_by(s, id, CONNECTOR));
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(after, before);
	/* Another connector is another connection. */
	ok(s, connect_by(s, id, "{\"host\": \"compute2\"}"));
	assert_status(s, "attaching|attaching");
	assert_sql(s, "compute2", "select attached_host from public.volume_attachment");
}

static void assert_unchanged(struct store *s, const char *id, const char *connector,
	enum error_code code, const char *text)
{
	AUTO(free) char *before = sql_everything(s);

	assert_fails(s, connect_by(s, id, connector), code, "%s", text);
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(after, before);
}

static void what_cannot_be_attached_is_left_alone(void **state)
{
	struct store *s = *state;
	char id[UUID_TEXT_SIZE], others[UUID_TEXT_SIZE], other[UUID_TEXT_SIZE];
	char volume[UUID_TEXT_SIZE];
	struct migration m;

	assert_unchanged(s, OWNER, CONNECTOR, ERR_ATTACHMENT_NOT_FOUND,
		"Volume attachment could not be found with filter: attachment_id = " OWNER
		".");
	add_volume(s, "other", SOURCE, other);
	add_attachment(s, other, others);
	assert_unchanged(s, others, CONNECTOR, ERR_INVALID_INPUT,
		"Invalid input received: Mismatched volume and attachment");
	admit_migration(s, "r1", &m);
	reserve(s, "null", id);
	assert_unchanged(s, id, CONNECTOR, ERR_INVALID_VOLUME,
		"volume 'data' cannot be connected: it is already migrating to "
		"'" TARGET "'");
	sql(s, "update public.volumes set host = '" TARGET "'");
	assert_fails(s, connect_by(s, id, CONNECTOR), ERR_DB_RETRY, NULL);
	memcpy(volume, s->volume, sizeof(volume));
	memcpy(s->volume, OTHER_OWNER, sizeof(OTHER_OWNER));
	assert_unchanged(s, id, CONNECTOR, ERR_VOLUME_NOT_FOUND,
		"volume '" OTHER_OWNER "' could not be found");
	memcpy(s->volume, volume, sizeof(volume));
}

static void what_the_refused_request_has_made_is_undone(void **state)
{
	struct store *s = *state;
	char id[UUID_TEXT_SIZE], kept[UUID_TEXT_SIZE];

	reserve(s, NULL, id);
	assert_int_equal(store_attachment_put_back(s->db, id, &s->err), 1);
	assert_status(s, "available|detached");
	assert_sql(s, "detached|t|t",
		"select concat_ws('|', attach_status, deleted,"
		" detach_time is not null) from public.volume_attachment");
	assert_int_equal(store_attachment_put_back(s->db, id, &s->err), 0);
	/* Whoever made it before knows its id. */
	reserve(s, "null", kept);
	assert_int_equal(store_attachment_put_back(s->db, kept, &s->err), 0);
	assert_status(s, "reserved|detached");
	/* Even while it is being migrated: the reservation is of this request. */
	reserve(s, NULL, id);
	sql(s,
		"delete from public.volume_attachment where id = '%s';"
		" update public.volumes set migration_status = 'migrating'",
		kept);
	assert_int_equal(store_attachment_put_back(s->db, id, &s->err), 1);
	assert_status(s, "available|detached");
}

/* ---- the same over NBD ---- */

static int want_nbd(
	struct store *s, const char *id, const char *connector, struct export *e)
{
	AUTO(json_object_put) struct json_object *o = parse(connector);
	struct connect_request request = { .volume_id = s->volume,
		.request_id = "req",
		.peer = "compute1",
		.reply = { "q", "caller" },
		.attachment_id = id,
		.connector = o };

	return store_export_want(s->db, &request, e, &s->err);
}

static void open_it(struct store *s, struct export *export)
{
	struct export read;

	assert_int_equal(store_export_get(s->db, export->id, export, &s->err), 1);
	read = *export;
	export->pid = 4711;
	export->pid_start = 1;
	export->port = 10809;
	assert_int_equal(store_export_opened(s->db, export, &read, &s->err), 1);
}

static void an_attachment_by_nbd_is_attaching_when_it_is_open(void **state)
{
	struct store *s = *state;
	AUTO(free) struct export *list = NULL;
	char id[UUID_TEXT_SIZE];
	struct export e, again;

	reserve(s, "null", id);
	ok(s, want_nbd(s, id, CONNECTOR, &e));
	assert_string_equal(e.state, "wanted");
	assert_string_equal(e.reply_for, REPLY_ATTACHMENT);
	assert_false(e.read_only);
	assert_status(s, "reserved|detached");
	ok(s, want_nbd(s, id, CONNECTOR, &again));
	assert_string_equal(again.id, e.id);
	open_it(s, &e);
	assert_status(s, "attaching|attaching");
	assert_sql(s, "attaching|compute1|na|rw",
		"select concat_ws('|', attach_status, attached_host, mountpoint,"
		" attach_mode) from public.volume_attachment");
	assert_sql(s, "t",
		"select connector::jsonb = '" CONNECTOR "'::jsonb"
		" from public.volume_attachment");
	assert_int_equal(
		store_export_unanswered(s->db, SOURCE_BACKEND, &list, &s->err), 1);
	assert_string_equal(list[0].reply_id, "caller");
	ok(s, store_export_answered(s->db, &list[0], &s->err));
	/* Completed; then the message comes again, and the server dies and is started
	 * again. */
	sql(s,
		"update public.volume_attachment set attach_status = 'attached';"
		" update public.volumes set status = 'in-use',"
		" attach_status = 'attached'");
	ok(s, want_nbd(s, id, CONNECTOR, &again));
	assert_string_equal(again.state, "open");
	open_it(s, &again);
	assert_status(s, "in-use|attached");
}

static void deleting_an_attachment_waits_until_its_server_is_gone(void **state)
{
	struct store *s = *state;
	AUTO(free) struct export *list = NULL;
	AUTO(free) struct export *waiting = NULL;
	struct disconnect_request request = { .volume_id = s->volume,
		.reply = { "q", "deleter" } };
	char id[UUID_TEXT_SIZE];
	struct export e;

	reserve(s, "null", id);
	ok(s, want_nbd(s, id, CONNECTOR, &e));
	open_it(s, &e);
	request.attachment_id = id;
	assert_int_equal(store_export_close(s->db, &request, &list, &s->err), 1);
	ok(s, store_export_closed(s->db, e.id, NULL, &s->err));
	assert_int_equal(
		store_export_unanswered(s->db, SOURCE_BACKEND, &waiting, &s->err), 1);
	assert_string_equal(waiting[0].reply_id, "deleter");
	/* The API tier ends it, when it has the answer. */
	assert_status(s, "attaching|attaching");
	assert_sql(s, "attaching|f",
		"select concat_ws('|', attach_status, deleted)"
		" from public.volume_attachment");
	/* The message again: that attachment is not opened once more. */
	assert_fails(s, want_nbd(s, id, CONNECTOR, &e), ERR_INVALID_VOLUME, NULL);
}

static void one_that_cannot_be_opened_is_put_back(void **state)
{
	struct store *s = *state;
	char id[UUID_TEXT_SIZE];
	struct export e;

	reserve(s, NULL, id);
	ok(s, want_nbd(s, id, CONNECTOR, &e));
	ok(s, store_export_closed(s->db, e.id, "no port is free", &s->err));
	assert_status(s, "available|detached");
	reserve(s, "null", id);
	ok(s, want_nbd(s, id, CONNECTOR, &e));
	ok(s, store_export_closed(s->db, e.id, "no port is free", &s->err));
	assert_status(s, "reserved|detached");
}

static void an_attachment_that_is_gone_is_not_opened(void **state)
{
	struct store *s = *state;
	char id[UUID_TEXT_SIZE];
	struct export e, read;

	reserve(s, "null", id);
	ok(s, want_nbd(s, id, CONNECTOR, &e));
	assert_int_equal(store_export_get(s->db, e.id, &e, &s->err), 1);
	/* cinder-api ends a reserved one without a word to us. */
	sql(s,
		"update public.volume_attachment set deleted = true;"
		" update public.volumes set status = 'available'");
	read = e;
	e.pid = 4711;
	e.port = 10809;
	assert_int_equal(store_export_opened(s->db, &e, &read, &s->err), 0);
	assert_sql(s, "closing", "select state from drover.export");
	ok(s, store_export_closed(s->db, e.id, NULL, &s->err));
	assert_status(s, "available|detached");
}

static void assert_read_only(
	struct store *s, const char *mode, const char *connector, bool want)
{
	char id[UUID_TEXT_SIZE];
	struct export e;

	sql(s, "delete from drover.export; delete from public.volume_attachment");
	reserve(s, mode, id);
	ok(s, want_nbd(s, id, connector, &e));
	assert_int_equal(e.read_only, want);
}

static void a_read_only_attachment_is_served_so(void **state)
{
	struct store *s = *state;

	assert_read_only(s, "null", "{\"host\": \"compute1\"}", false);
	assert_read_only(s, "null", "{\"host\": \"compute1\", \"mode\": \"ro\"}", true);
	assert_read_only(s, "ro", "{\"host\": \"compute1\"}", true);
	metadata(s, "readonly", "False");
	/* cinder-api says "ro" for these, whatever was asked. */
	assert_read_only(s, "ro", "{\"host\": \"compute1\"}", false);
	assert_read_only(s, "null", "{\"host\": \"compute1\", \"mode\": \"ro\"}", true);
	sql(s, "update public.volume_admin_metadata set value = 'True'");
	assert_read_only(s, "null", "{\"host\": \"compute1\"}", true);
	assert_read_only(s, "rw", "{\"host\": \"compute1\"}", true);
}

/* ---- the older way ---- */

static int attach(struct store *s, const char *request_id, const char *server,
	const char *host, const char *mode, struct json_object **object)
{
	struct attach_request request = { .volume_id = s->volume,
		.request_id = request_id,
		.server_id = server,
		.host_name = host,
		.mountpoint = "/dev/vdb",
		.mode = mode };

	return store_attachment_attach(s->db, &request, object, &s->err);
}

static const char *text_of(struct json_object *object, const char *path)
{
	struct json_object *value;

	assert_int_equal(json_pointer_get(object, path, &value), 0);
	return value ? json_object_get_string(value) : "null";
}

static int detach(struct store *s, const char *id, struct export **list)
{
	const struct rpc_address reply = { "q", "detacher" };

	return store_export_detach(s->db, s->volume, id, &reply, list, &s->err);
}

static int detach_now(struct store *s, const char *id)
{
	AUTO(free) struct export *list = NULL;

	return detach(s, id, &list);
}

#define DATA "/versioned_object.data"

static void attaching_and_detaching_a_server(void **state)
{
	struct store *s = *state;
	AUTO(json_object_put) struct json_object *o = NULL;
	AUTO(json_object_put) struct json_object *late = NULL;
	char id[UUID_TEXT_SIZE];

	metadata(s, "readonly", "False");
	sql(s, "update public.volumes set status = 'attaching'");
	ok(s, attach(s, "r1", GUEST, NULL, "rw", &o));
	assert_status(s, "in-use|attached");
	assert_sql(s, GUEST "|-|/dev/vdb|rw|attached|t|t|-|-",
		"select concat_ws('|', instance_uuid, coalesce(attached_host, '-'),"
		" mountpoint, attach_mode, attach_status, attach_time is not null,"
		" updated_at is not null, coalesce(connector, '-'),"
		" coalesce(connection_info, '-')) from public.volume_attachment");
	assert_sql(s, "attached_mode=rw readonly=False",
		"select string_agg(key || '=' || value, ' ' order by key)"
		" from public.volume_admin_metadata where not deleted");
	/* The answer: the volume as it was before. */
	assert_string_equal(text_of(o, "/versioned_object.name"), "VolumeAttachment");
	assert_string_equal(text_of(o, "/versioned_object.version"), "1.3");
	assert_string_equal(text_of(o, DATA "/attach_status"), "attached");
	assert_string_equal(text_of(o, DATA "/attached_host"), "null");
	assert_string_equal(text_of(o, DATA "/updated_at"), "null");
	assert_string_equal(text_of(o, DATA "/volume" DATA "/status"), "attaching");
	assert_string_equal(text_of(o, DATA "/volume" DATA "/id"), s->volume);
	assert_int_equal(strlen(text_of(o, DATA "/attach_time")), 20);
	text_copy(id, sizeof(id), text_of(o, DATA "/id"));

	sql(s, "update public.volumes set status = 'detaching'");
	assert_int_equal(detach_now(s, id), 0);
	assert_status(s, "available|detached");
	assert_sql(s, "detached|t|t",
		"select concat_ws('|', attach_status, deleted,"
		" detach_time is not null) from public.volume_attachment");
	assert_sql(s, "readonly",
		"select string_agg(key, ' ') from public.volume_admin_metadata"
		" where not deleted");
	/* The request comes again: nothing is attached again. */
	AUTO(free) char *before = sql_everything(s);
	ok(s, attach(s, "r1", GUEST, NULL, "rw", &late));
	assert_string_equal(text_of(late, DATA "/id"), id);
	assert_string_equal(text_of(late, DATA "/attach_status"), "detached");
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(after, before);
	/* An attachment that is gone leaves the status it should be. */
	sql(s, "update public.volumes set status = 'detaching'");
	assert_int_equal(detach_now(s, id), 0);
	assert_status(s, "available|detached");
}

static void a_server_that_has_it_already_keeps_its_attachment(void **state)
{
	struct store *s = *state;
	AUTO(json_object_put) struct json_object *one = NULL;
	AUTO(json_object_put) struct json_object *two = NULL;
	AUTO(json_object_put) struct json_object *none = NULL;

	ok(s, attach(s, "r1", NULL, "host-a", "rw", &one));
	sql(s, "update public.volumes set status = 'attaching'");
	ok(s, attach(s, "r2", NULL, "host-a", "rw", &two));
	assert_string_equal(text_of(two, DATA "/id"), text_of(one, DATA "/id"));
	assert_status(s, "in-use|attached");
	assert_fails(s, attach(s, "r3", GUEST, NULL, "rw", &none), ERR_INVALID_VOLUME,
		"Invalid volume: volume is already attached and multiple attachments "
		"are not enabled");
	sql(s, "update public.volumes set status = 'attaching'");
	assert_fails(s, attach(s, "r3", GUEST, NULL, "ro", &none), ERR_INVALID_VOLUME,
		"Invalid volume: being attached by different mode");
}

static void several_attachments_are_detached_one_by_one(void **state)
{
	struct store *s = *state;
	AUTO(json_object_put) struct json_object *one = NULL;
	AUTO(json_object_put) struct json_object *two = NULL;

	sql(s, "update public.volumes set multiattach = true");
	ok(s, attach(s, "r1", GUEST, NULL, "rw", &one));
	ok(s, attach(s, "r2", OTHER_GUEST, NULL, "rw", &two));
	assert_fails(s, detach_now(s, NULL), ERR_INVALID_VOLUME,
		"Invalid volume: Detach volume failed: More than one attachment, but "
		"no attachment_id provided.");
	sql(s, "update public.volumes set status = 'detaching'");
	assert_int_equal(detach_now(s, text_of(one, DATA "/id")), 0);
	assert_status(s, "in-use|attached");
	assert_sql(s, "1",
		"select count(*) from public.volume_admin_metadata"
		" where key = 'attached_mode' and not deleted");
	assert_int_equal(detach_now(s, NULL), 0);
	assert_status(s, "available|detached");
	assert_sql(s, "0",
		"select count(*) from public.volume_admin_metadata"
		" where key = 'attached_mode' and not deleted");
	assert_int_equal(detach_now(s, NULL), 0);
	assert_status(s, "available|detached");
}

static void attaching_is_refused_with_cinders_sentences(void **state)
{
	struct store *s = *state;
	struct json_object *none = NULL;
	AUTO(json_object_put) struct json_object *one = NULL;
	struct migration m;

	assert_fails(s, attach(s, "r1", "no uuid", NULL, "rw", &none), ERR_INVALID_UUID,
		"Expected a UUID but received no uuid.");
	metadata(s, "readonly", "True");
	assert_fails(s, attach(s, "r1", GUEST, NULL, "rw", &none), ERR_ATTACH_MODE,
		"Invalid attaching mode 'rw' for volume %s.", s->volume);
	ok(s, attach(s, "r2", GUEST, NULL, "ro", &one));
	assert_int_equal(detach_now(s, NULL), 0);
	admit_migration(s, "r3", &m);
	sql(s, "update public.volumes set status = 'attaching'");
	AUTO(free) char *before = sql_everything(s);
	assert_fails(s, attach(s, "r4", GUEST, NULL, "ro", &none), ERR_INVALID_VOLUME,
		"volume 'data' cannot be connected: it is already migrating to "
		"'" TARGET "'");
	AUTO(free) char *after = sql_everything(s);
	assert_string_equal(after, before);
}

static void detaching_closes_what_was_connected_first(void **state)
{
	struct store *s = *state;
	AUTO(json_object_put) struct json_object *o = NULL;
	AUTO(free) struct export *list = NULL;
	AUTO(free) struct export *waiting = NULL;
	struct connect_request request = { .volume_id = s->volume,
		.request_id = "r1",
		.peer = "compute1",
		.reply = { "q", "opener" } };
	struct export one, two;

	ok(s, store_export_want(s->db, &request, &one, &s->err));
	open_it(s, &one);
	ok(s, store_export_answered(s->db, &one, &s->err));
	request.peer = "compute2";
	ok(s, store_export_want(s->db, &request, &two, &s->err));
	ok(s, attach(s, "r1", GUEST, NULL, "rw", &o));
	assert_int_equal(detach(s, NULL, &list), 2);
	assert_status(s, "in-use|attached");
	ok(s, store_export_closed(s->db, one.id, NULL, &s->err));
	assert_status(s, "in-use|attached");
	ok(s, store_export_closed(s->db, two.id, NULL, &s->err));
	assert_status(s, "available|detached");
	assert_int_equal(
		store_export_unanswered(s->db, SOURCE_BACKEND, &waiting, &s->err), 1);
	assert_string_equal(waiting[0].reply_id, "detacher");
}

/* ---- statuses ---- */

static void compute(
	struct store *s, const char *attachments, bool available_too, const char *want)
{
	sql(s,
		"delete from public.volume_attachment;"
		" insert into public.volume_attachment (id, volume_id, attach_status,"
		" deleted) select gen_random_uuid(), '%s', x, false from"
		" unnest('{%s}'::text[]) as x",
		s->volume, attachments);
	ok(s,
		store_attachment_statuses_locked(
			s->db, s->volume, available_too, &s->err));
	assert_status(s, want);
}

static void the_status_follows_from_the_attachments(void **state)
{
	struct store *s = *state;

	compute(s, "reserved,attached", false, "in-use|attached");
	compute(s, "reserved,attaching,detaching", false, "attaching|attaching");
	compute(s, "reserved,detaching", false, "detaching|detaching");
	compute(s, "reserved", false, "reserved|reserved");
	compute(s, "error_attaching", false, "available|detached");
	compute(s, "", false, "available|detached");
	/* While it moves nobody may take it for free. */
	sql(s,
		"update public.volumes set status = 'in-use',"
		" migration_status = 'migrating'");
	compute(s, "", false, "in-use|detached");
	compute(s, "", true, "available|detached");
	compute(s, "attached", false, "in-use|attached");
	sql(s, "update public.volumes set migration_status = 'success'");
	compute(s, "", false, "available|detached");
	sql(s,
		"update public.volumes set status = 'uploading',"
		" migration_status = null");
	compute(s, "", false, "uploading|detached");
}

/* ---- what a connection depends on ---- */

static void the_facts_of_a_connection(void **state)
{
	struct store *s = *state;
	struct connection_facts facts;

	ok(s, store_connection_facts(s->db, s->volume, &facts, &s->err));
	assert_string_equal(facts.provider_location, "");
	assert_string_equal(facts.format, "raw");
	assert_false(facts.read_only || facts.writable || facts.cacheable ||
		facts.encrypted);
	assert_null(facts.qos_specs);
	assert_int_equal(facts.size_gib, 2);
	metadata(s, "readonly", "True");
	metadata(s, "format", "qcow2");
	sql(s,
		"update public.volumes set provider_location = 'h:/e',"
		" encryption_key_id = 'k';"
		" insert into public.volume_type_extra_specs (volume_type_id, key,"
		" value, deleted) select volume_type_id, 'cacheable', '<is> True',"
		" false from public.volumes;"
		" insert into public.quality_of_service_specs (id, specs_id, key,"
		" value, deleted) values ('q', null, 'QoS_Specs_Name', 'fast', false),"
		" ('q1', 'q', 'consumer', 'front-end', false),"
		" ('q2', 'q', 'read_iops_sec_per_gb', '10', false),"
		" ('q3', 'q', 'gone', '10', true);"
		" update public.volume_types set qos_specs_id = 'q'");
	ok(s, store_connection_facts(s->db, s->volume, &facts, &s->err));
	assert_string_equal(facts.provider_location, "h:/e");
	assert_string_equal(facts.format, "qcow2");
	assert_true(facts.read_only && facts.cacheable && facts.encrypted);
	assert_false(facts.writable);
	assert_int_equal(json_object_object_length(facts.qos_specs), 1);
	connection_facts_clear(&facts);
	/* The mode of an old attachment counts more; specs for the back end do not. */
	metadata(s, "attached_mode", "rw");
	sql(s,
		"update public.quality_of_service_specs set value = 'back-end'"
		" where id = 'q1'");
	ok(s, store_connection_facts(s->db, s->volume, &facts, &s->err));
	assert_false(facts.read_only);
	assert_null(facts.qos_specs);
	sql(s,
		"update public.volume_types set qos_specs_id = null;"
		" delete from public.quality_of_service_specs where id <> 'q';"
		" delete from public.quality_of_service_specs");
	assert_fails(s, store_connection_facts(s->db, OWNER, &facts, &s->err),
		ERR_VOLUME_NOT_FOUND, "volume '" OWNER "' could not be found");
}

static void attached_volumes_are_not_migrated_or_deleted(void **state)
{
	struct store *s = *state;
	struct migration_request request = request_of(s, "r1");
	enum admission admission;
	char id[UUID_TEXT_SIZE];

	reserve(s, "null", id);
	ok(s, connect_by(s, id, CONNECTOR));
	sql(s, "update public.volumes set status = 'available'");
	assert_fails(s, store_migration_admit(s->db, &request, &admission, &s->err),
		ERR_INVALID_VOLUME,
		"volume 'data' cannot be migrated: it is attached to server " GUEST
		"; detach it first");
	sql(s, "update public.volumes set status = 'deleting'");
	assert_fails(s,
		store_delete_volume(s->db, s->volume, "r2", true, &admission, &s->err),
		ERR_INVALID_VOLUME,
		"volume 'data' cannot be deleted: it is attached to server " GUEST);
}

/* ---- handed out without a server ---- */

static int hand_out(struct store *s, const char *peer, const char *request_id)
{
	struct connection_request request = { .volume_id = s->volume,
		.volume_host = SOURCE,
		.peer = peer,
		.request_id = request_id };

	return store_connection_hand_out(s->db, &request, &s->err);
}

static void assert_migration(struct store *s, const char *refusal)
{
	struct migration_request request = request_of(s, "r9");
	struct address target;
	struct volume volume;

	assert_int_equal(
		store_volume_get(s->db, request.volume_id, &volume, &s->err), 1);
	ok(s, address_parse(request.target, &target, &s->err));
	if (!refusal)
		ok(s,
			store_migration_check(
				s->db, &volume, &target, DOWN_TIME, false, &s->err));
	else
		assert_fails(s,
			store_migration_check(
				s->db, &volume, &target, DOWN_TIME, false, &s->err),
			ERR_INVALID_VOLUME, "%s", refusal);
}

static void who_was_told_of_a_share_may_be_writing(void **state)
{
	static const char refusal[] =
		"volume 'data' cannot be migrated: it is connected to host 'a'; when "
		"that is over, 'drover disconnect' says so";
	struct store *s = *state;
	AUTO(free) struct export *list = NULL;
	struct disconnect_request request = {
		.volume_id = s->volume, .loose = true, .peer = "a"
	};
	AUTO(json_object_put) struct json_object *o = NULL;
	struct migration m;

	assert_migration(s, NULL);
	ok(s, hand_out(s, "a", "r1"));
	ok(s, hand_out(s, "a", "r2"));
	ok(s, hand_out(s, "b", "r3"));
	assert_sql(s, "2", "select count(*) from drover.connection");
	assert_migration(s, refusal);
	assert_int_equal(store_export_close(s->db, &request, &list, &s->err), 0);
	assert_sql(s, "b",
		"select string_agg(peer, ' ') from drover.connection"
		" where closed_at is null");
	/* The message again, late. */
	assert_fails(s, hand_out(s, "a", "r1"), ERR_INVALID_VOLUME,
		"volume '%s' was connected by this request before, and disconnected "
		"since",
		s->volume);
	assert_int_equal(store_export_disconnect(s->db, s->volume, &s->err), 0);
	assert_migration(s, NULL);
	assert_fails(s, store_export_disconnect(s->db, s->volume, &s->err),
		ERR_INVALID_VOLUME, "volume 'data' is not connected");
	/* The last attachment takes them along; a late message about one does not. */
	ok(s, hand_out(s, "a", "r4"));
	assert_int_equal(detach_now(s, OWNER), 0);
	assert_migration(s, refusal);
	ok(s, attach(s, "r4", NULL, "a", "rw", &o));
	assert_int_equal(detach_now(s, NULL), 0);
	admit_migration(s, "r5", &m);
	assert_fails(s, hand_out(s, "a", "r6"), ERR_INVALID_VOLUME,
		"volume 'data' cannot be connected: it is already migrating to "
		"'" TARGET "'");
}

/* ---- objects that Drover did not make ---- */

static void an_object_is_looked_at_before_it_is_shown(void **state)
{
	struct store *s = *state;
	AUTO(free) struct look *list = NULL;
	AUTO(free) struct look *none = NULL;
	struct error why;
	struct volume volume;

	assert_int_equal(store_volume_get(s->db, s->volume, &volume, &s->err), 1);
	ok(s, db_listen(s->second, WORK_CHANNEL, &s->err));
	for (int i = 0; i < 2; i++)
		assert_int_equal(store_look_ask(s->db, &volume, &s->err), 0);
	assert_notified(s, WORK_CHANNEL, SOURCE_BACKEND);
	assert_int_equal(store_look_due(s->db, SOURCE_BACKEND, &list, &s->err), 1);
	assert_string_equal(list[0].volume_id, s->volume);
	error_set(&why, ERR_INVALID_VOLUME, "it is qcow2");
	ok(s, store_look_done(s->db, s->volume, &why, &s->err));
	assert_int_equal(store_look_due(s->db, SOURCE_BACKEND, &none, &s->err), 0);
	/* Told once; whoever asks again wants another look. */
	assert_fails(s, store_look_ask(s->db, &volume, &s->err), ERR_INVALID_VOLUME,
		"it is qcow2");
	assert_int_equal(store_look_ask(s->db, &volume, &s->err), 0);
	ok(s, store_look_done(s->db, s->volume, NULL, &s->err));
	assert_int_equal(store_look_ask(s->db, &volume, &s->err), 1);
	/* By another name it is another object. */
	text_copy(volume.name_id, sizeof(volume.name_id), OWNER);
	assert_int_equal(store_look_ask(s->db, &volume, &s->err), 0);
	sql(s, "delete from drover.look");
	sql(s,
		"insert into drover.operation (id, kind, volume_id, host, request_id)"
		" values (gen_random_uuid(), 'create_volume', '" OWNER
		"', '" SOURCE_BACKEND "', 'r')");
	assert_int_equal(store_look_ask(s->db, &volume, &s->err), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		STORE_TEST(a_connector_makes_it_attaching),
		STORE_TEST(the_mode_is_that_of_the_attachment_else_of_the_connector),
		STORE_TEST(a_duplicate_does_not_undo_what_was_completed),
		STORE_TEST(what_cannot_be_attached_is_left_alone),
		STORE_TEST(what_the_refused_request_has_made_is_undone),
		STORE_TEST(an_attachment_by_nbd_is_attaching_when_it_is_open),
		STORE_TEST(deleting_an_attachment_waits_until_its_server_is_gone),
		STORE_TEST(one_that_cannot_be_opened_is_put_back),
		STORE_TEST(an_attachment_that_is_gone_is_not_opened),
		STORE_TEST(a_read_only_attachment_is_served_so),
		STORE_TEST(attaching_and_detaching_a_server),
		STORE_TEST(a_server_that_has_it_already_keeps_its_attachment),
		STORE_TEST(several_attachments_are_detached_one_by_one),
		STORE_TEST(attaching_is_refused_with_cinders_sentences),
		STORE_TEST(detaching_closes_what_was_connected_first),
		STORE_TEST(the_status_follows_from_the_attachments),
		STORE_TEST(the_facts_of_a_connection),
		STORE_TEST(attached_volumes_are_not_migrated_or_deleted),
		STORE_TEST(who_was_told_of_a_share_may_be_writing),
		STORE_TEST(an_object_is_looked_at_before_it_is_shown),
	};

	return STORE_MAIN(tests);
}
