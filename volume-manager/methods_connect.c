/* SPDX-License-Identifier: Apache-2.0 */
/* Connections and attachments. What needs no server process is one transaction and
 * answered at once; an export is written down as wanted or as closing, and its caller is
 * answered when it is open or closed, by whichever manager sees that. */
#include "volume-manager/methods_connect.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/store/connect.h"
#include "common/store/connections.h"
#include "common/store/looks.h"
#include "volume-manager/connection.h"
#include "volume-manager/manager.h"
#include "volume-manager/methods.h"
#include "volume-manager/process.h"

#define CONNECTOR_MAX 65536

/* ---- what is asked ---- */

struct asked {
	struct manager *manager;
	const struct backend_settings *settings;
	const struct rpc_request *request;
	const char *id; /* of the volume */
	const char *attachment_id; /* or NULL */
	struct json_object *connector;
	const char *host; /* of the connector; empty: it has none */
	bool nbd;
	bool guest; /* a hypervisor asks for one of its guests */
	bool local; /* and has the file itself */
	bool certificates; /* and is another host */
};

static int check_connector(struct json_object *connector, struct error *err)
{
	AUTO(free) char *text = json_text(connector);
	const char *mountpoint;

	if (!text)
		return error_no_memory(err);
	if (strlen(text) > CONNECTOR_MAX)
		return error_set(err, ERR_INVALID_INPUT, "it is too long");
	if (json_get_string_or(connector, "mountpoint", "", &mountpoint, err) < 0)
		return -1;
	if (strlen(mountpoint) > ATTACHED_HOST_MAX)
		return error_set(err, ERR_INVALID_INPUT, "its mountpoint is too long");
	return 0;
}

static int read_connector(struct asked *asked, struct error *err)
{
	const char *instance = NULL;

	if (json_get_object(asked->request->args, "connector", &asked->connector, err) <
			0 ||
		json_get_string_or(asked->connector, "host", "", &asked->host, err) <
			0 ||
		json_get_bool_or(asked->connector, "nbd", false, &asked->nbd, err) <
			0 ||
		json_get_string_or(asked->connector, "instance", NULL, &instance, err) <
			0 ||
		check_connector(asked->connector, err) < 0)
		return error_context(err, "connector");
	if (strlen(asked->host) > ATTACHED_HOST_MAX)
		return error_set(
			err, ERR_INVALID_INPUT, "the connector's host is too long");
	asked->guest = instance;
	/* An export is for somebody; what needs none asks for less, as in Cinder. */
	if (!asked->host[0] && asked->nbd)
		return error_set(err, ERR_INVALID_INPUT,
			"Invalid input received: Connector doesn't have required "
			"information: host");
	return 0;
}

static struct connect_request connect_request(const struct asked *asked)
{
	return (struct connect_request) { .volume_id = asked->id,
		.request_id = asked->request->request_id,
		.peer = asked->host,
		.reply = asked->request->reply,
		.certificates = asked->certificates,
		.attachment_id = asked->attachment_id,
		.connector = asked->connector };
}

/* ---- to connect ---- */

static int info_of_export(struct manager *manager, const struct export *export,
	struct json_object **out, struct error *err)
{
	struct connection_facts facts;

	if (store_connection_facts(manager->db, export->volume_id, &facts, err) < 0)
		return -1;
	*out = connection_nbd(export, &facts);
	if (strcmp(export->reply_for, REPLY_ATTACHMENT) == 0)
		*out = connection_flat(*out, export->attachment_id);
	connection_facts_clear(&facts);
	return 0;
}

static int connect_nbd(
	const struct asked *asked, struct json_object **result, struct error *err)
{
	struct connect_request request = connect_request(asked);
	struct export export;

	if (store_export_want(asked->manager->db, &request, &export, err) < 0)
		return -1;
	if (strcmp(export.state, "open") != 0)
		return RPC_LATER;
	snprintf(export.reply_for, sizeof(export.reply_for), "%s",
		asked->attachment_id ? REPLY_ATTACHMENT : REPLY_CONNECTION);
	return info_of_export(asked->manager, &export, result, err);
}

static int note_connection(
	const struct asked *asked, const struct volume *volume, struct error *err)
{
	struct attachment_request request = { .volume_id = asked->id,
		.attachment_id = asked->attachment_id,
		.volume_host = volume->host,
		.connector = asked->connector };
	struct connection_request plain = { .volume_id = asked->id,
		.volume_host = volume->host,
		.peer = asked->host,
		.request_id = asked->request->request_id };

	if (!asked->attachment_id)
		return store_connection_hand_out(asked->manager->db, &plain, err);
	return store_attachment_connect(asked->manager->db, &request, err);
}

/* Another backend of ours may have it by now. */
static const struct backend_settings *settings_of(
	const struct asked *asked, const struct volume *volume)
{
	const struct managed *managed = manager_find(asked->manager, volume->host);

	return managed ? managed->settings : asked->settings;
}

/* A host goes where it is told; so somebody must have seen that the volume is there. */
static int require_known(
	const struct asked *asked, const struct volume *volume, struct error *err)
{
	int known;

	if (!asked->local && !connection_is_shared(settings_of(asked, volume)))
		return 0;
	known = store_look_ask(asked->manager->db, volume, err);
	if (known > 0)
		return 0;
	if (known < 0)
		return methods_must_wait(err) ? -1 : connection_failed(err);
	return error_set(err, ERR_DB_RETRY,
		"the object of volume '%s' is being looked at", volume->id);
}

static int connect_plain(
	const struct asked *asked, struct json_object **result, struct error *err)
{
	struct manager *manager = asked->manager;
	AUTO(json_object_put) struct json_object *info = NULL;
	struct connection_facts facts;
	struct volume volume;
	int done;

	if (methods_volume(manager, asked->id, &volume, err) < 0 ||
		require_known(asked, &volume, err) < 0 ||
		store_connection_facts(manager->db, asked->id, &facts, err) < 0)
		return -1;
	done = connection_info(settings_of(asked, &volume), &volume, &facts,
		asked->host, asked->local, &info, err);
	connection_facts_clear(&facts);
	if (done < 0 || note_connection(asked, &volume, err) < 0)
		return -1;
	*result = asked->attachment_id
		? connection_flat(steal(info), asked->attachment_id)
		: steal(info);
	return RPC_DONE;
}

/* A hypervisor takes what is nearest to it: a file, a share, a server. What listens on the
 * loopback is of no use to it elsewhere. */
static int choose_way(struct asked *asked, struct error *err)
{
	const struct backend_settings *settings;
	struct volume volume;
	bool here;

	if (!asked->guest)
		return 0;
	if (methods_volume(asked->manager, asked->id, &volume, err) < 0)
		return -1;
	settings = settings_of(asked, &volume);
	here = strcmp(asked->host, asked->manager->settings->host) == 0;
	asked->local = here && connection_is_file(settings);
	asked->nbd = !asked->local && !connection_is_shared(settings);
	asked->certificates = !here && asked->nbd;
	if (!asked->certificates || asked->manager->settings->nbd_for_guests)
		return 0;
	return error_set(err, ERR_INVALID_INPUT,
		"host '%s' cannot reach volume '%s': '%s' serves its volumes to guests of "
		"its own host only; nbd_tls = certificates there would change that",
		asked->host, asked->id, settings->host);
}

static int do_connect(
	struct asked *asked, struct json_object **result, struct error *err)
{
	int done;

	if (choose_way(asked, err) < 0)
		return -1;
	done = asked->nbd ? connect_nbd(asked, result, err)
			  : connect_plain(asked, result, err);

	if (done >= 0)
		log_info("%s volume=%s host=%s%s%s%s request=%s",
			asked->request->method, asked->id, asked->host,
			asked->attachment_id ? " attachment=" : "",
			asked->attachment_id ? asked->attachment_id : "",
			asked->nbd ? " nbd" : "", asked->request->request_id);
	return done;
}

/* A volume that is being migrated gets the status back that os-reserve has changed; for
 * other reasons Cinder leaves that to its caller, who knows. */
static int put_attaching_back(
	struct manager *manager, const char *id, const char *host, struct error *err)
{
	struct error why = *err, ignored;
	struct volume volume;

	if (methods_must_wait(err))
		return -1;
	if (methods_volume(manager, id, &volume, &ignored) < 0) {
		if (methods_must_wait(&ignored))
			*err = ignored;
		return -1;
	}
	if (store_connect_free(manager->db, &volume, host, &ignored) == 0)
		return -1;
	*err = methods_must_wait(&ignored) ? ignored : why;
	return methods_put_back(manager, id, "attaching", NULL, err);
}

int methods_initialize_connection(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	const struct managed *managed = arg;
	struct asked asked = { .manager = managed->manager,
		.settings = managed->settings,
		.request = request };
	int moved, done;

	if (methods_volume_id(request, "volume", &asked.id, err) < 0)
		return -1;
	moved = forward_if_moved(asked.manager, request, asked.id, err);
	if (moved)
		return moved;
	done = read_connector(&asked, err) < 0 ? -1 : do_connect(&asked, result, err);
	return done < 0 ? put_attaching_back(asked.manager, asked.id, asked.host, err)
			: done;
}

/* An attachment that the API tier has made for this very request is nobody's when it is
 * refused. */
static int put_attachment_back(
	struct manager *manager, const char *attachment_id, struct error *err)
{
	struct error why = *err;

	if (methods_must_wait(err))
		return -1;
	if (store_attachment_put_back(manager->db, attachment_id, err) < 0 &&
		methods_must_wait(err))
		return -1;
	*err = why;
	return -1;
}

int methods_attachment_id(
	const struct rpc_request *request, const char **out, struct error *err)
{
	if (json_get_string(request->args, "attachment_id", out, err) < 0)
		return -1;
	if (!uuid_is(*out))
		return error_set(err, ERR_ATTACHMENT_NOT_FOUND,
			"Volume attachment could not be found with filter: "
			"attachment_id = %.64s.",
			*out);
	return 0;
}

static int update_attachment(
	struct asked *asked, struct json_object **result, struct error *err)
{
	struct attachment attachment;

	/* In Cinder's order: an attachment that is not there comes first. */
	if (store_attachment_require(asked->manager->db, asked->attachment_id,
		    asked->id, &attachment, err) < 0 ||
		read_connector(asked, err) < 0)
		return -1;
	return do_connect(asked, result, err);
}

int methods_attachment_update(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	const struct managed *managed = arg;
	struct asked asked = { .manager = managed->manager,
		.settings = managed->settings,
		.request = request };
	int done;

	if (methods_volume_id(request, "vref", &asked.id, err) < 0 ||
		methods_attachment_id(request, &asked.attachment_id, err) < 0)
		return -1;
	done = forward_if_moved(asked.manager, request, asked.id, err);
	if (done == 0)
		done = update_attachment(&asked, result, err);
	return done < 0 ? put_attachment_back(asked.manager, asked.attachment_id, err)
			: done;
}

/* ---- the older way ---- */

/* A name that Nova's hosts can have: letters, digits, '_', '.' and '-' in lower case. */
static void clean_host(const char *name, char out[ATTACHED_HOST_MAX + 1])
{
	size_t used = 0;

	for (; *name && used < ATTACHED_HOST_MAX; name++) {
		unsigned char c = (unsigned char)*name;

		if (c == ' ' || c == '_')
			c = '-';
		if (c < 0x80 && (isalnum(c) || c == '.' || c == '-'))
			if (used || (c != '.' && c != '-'))
				out[used++] = (char)tolower(c);
	}
	while (used && (out[used - 1] == '.' || out[used - 1] == '-'))
		used--;
	out[used] = '\0';
}

static int read_attach(const struct rpc_request *request, struct attach_request *out,
	char host[ATTACHED_HOST_MAX + 1], struct error *err)
{
	struct json_object *args = request->args;

	out->request_id = request->request_id;
	if (json_get_string_or(args, "instance_uuid", NULL, &out->server_id, err) < 0 ||
		json_get_string_or(args, "host_name", NULL, &out->host_name, err) < 0 ||
		json_get_string_or(args, "mountpoint", NULL, &out->mountpoint, err) <
			0 ||
		json_get_string_or(args, "mode", NULL, &out->mode, err) < 0)
		return -1;
	if (out->server_id && !out->server_id[0])
		out->server_id = NULL;
	if (out->host_name && !out->host_name[0])
		out->host_name = NULL;
	if ((out->mountpoint && strlen(out->mountpoint) > ATTACHED_HOST_MAX) ||
		(out->mode && strlen(out->mode) > ATTACH_MODE_MAX))
		return error_set(
			err, ERR_INVALID_INPUT, "mountpoint or mode is too long");
	if (out->host_name) {
		clean_host(out->host_name, host);
		out->host_name = host;
	}
	return 0;
}

int methods_attach_volume(void *arg, const struct rpc_request *request,
	struct json_object **result, struct error *err)
{
	struct manager *manager = methods_manager(arg);
	struct attach_request what = { .volume_id = NULL };
	char host[ATTACHED_HOST_MAX + 1];
	int moved;

	if (methods_volume_id(request, "volume", &what.volume_id, err) < 0)
		return -1;
	moved = forward_if_moved(manager, request, what.volume_id, err);
	if (moved)
		return moved;
	if (read_attach(request, &what, host, err) < 0 ||
		store_attachment_attach(manager->db, &what, result, err) < 0)
		return put_attaching_back(manager, what.volume_id, what.host_name, err);
	log_info("attach_volume volume=%s %s=%s request=%s", what.volume_id,
		what.server_id ? "server" : "host",
		what.server_id           ? what.server_id
			: what.host_name ? what.host_name
					 : "",
		request->request_id);
	return RPC_DONE;
}

/* ---- answers that became possible ---- */

static int answer(struct manager *manager, const struct export *export,
	struct json_object **info, struct error *err)
{
	if (strcmp(export->reply_for, REPLY_CLOSED) == 0)
		return 0;
	if (strcmp(export->state, "open") == 0)
		return info_of_export(manager, export, info, err);
	return error_set(err, ERR_BACKEND, "volume '%s' cannot be connected: %s",
		export->volume_id,
		export->error[0] ? export->error : "it was disconnected meanwhile");
}

void methods_answer(struct manager *manager, struct managed *managed)
{
	AUTO(free) struct export *list = NULL;
	struct error err, why;
	int count = store_export_unanswered(
		manager->db, managed->settings->host, &list, &err);

	for (int i = 0; i < count; i++) {
		const struct export *export = &list[i];
		AUTO(json_object_put) struct json_object *info = NULL;
		struct rpc_address to;
		int done;

		/* One that is still being opened, or started again, will be open. */
		if (strcmp(export->state, "open") == 0 &&
			(child_find(manager, CHILD_EXPORT, export->id) ||
				!process_is((pid_t) export->pid, export->pid_start,
					export->boot_id)))
			continue;
		done = answer(manager, export, &info, &why);
		if (done < 0 && methods_must_wait(&why)) {
			log_warning("%s", why.text);
			return;
		}
		text_copy(to.queue, sizeof(to.queue), export->reply_queue);
		text_copy(to.id, sizeof(to.id), export->reply_id);
		rpc_reply(manager->rpc, &to, info, done < 0 ? &why : NULL);
		if (store_export_answered(manager->db, export, &err) < 0)
			log_warning("%s", err.text);
	}
}
