/* SPDX-License-Identifier: Apache-2.0 */
/* attach, detach: volumes of instances, through drover-compute on their hosts */
#include "cli/verbs.h"

#include <string.h>

#include "cli/fields.h"
#include "common/attachment_calls.h"
#include "common/hypervisor.h"
#include "common/store/guests.h"

static struct attachment_call call_of(struct cli *cli, const struct volume *volume,
	const struct attachment *attachment)
{
	return (struct attachment_call) { .client = cli->rpc,
		.db = cli->db,
		.host = volume->host,
		.volume_id = volume->id,
		.attachment_id = attachment->id };
}

static int check_instance(const char *id, struct error *err)
{
	if (uuid_is(id))
		return 0;
	return error_set(
		err, ERR_USAGE, "'%.64s' is no id of an instance: it is a UUID", id);
}

/* Nothing is left of it: rows and server. */
static int end(struct cli *cli, const struct volume *volume,
	const struct attachment *attachment, struct error *err)
{
	const struct attachment_call call = call_of(cli, volume, attachment);

	if (attachment_call_delete(&call, err) < 0 &&
		err->code != ERR_ATTACHMENT_NOT_FOUND)
		return -1;
	return store_guest_detached(cli->db, attachment, err);
}

static int try_again(struct error *err, const char *verb)
{
	char why[ERROR_TEXT_SIZE];

	text_copy(why, sizeof(why), err->text);
	return error_set(err, err->code,
		"%.600s; it is not known how far it came: 'drover %s' again goes on",
		why, verb);
}

/* ---- attach ---- */

struct attaching {
	struct volume volume;
	struct attachment attachment;
	struct instance instance;
	char device[256];
};

/* It was refused: as if it had not been asked for. */
static int put_back(struct cli *cli, const struct attaching *what, struct error *err)
{
	const struct error why = *err;

	if (hypervisor_detach(cli->rpc, what->instance.host, what->attachment.server_id,
		    what->volume.id, err) < 0 ||
		end(cli, &what->volume, &what->attachment, err) < 0)
		return try_again(err, "detach");
	*err = why;
	return -1;
}

static int connect_guest(struct cli *cli, struct attaching *what, struct error *err)
{
	const struct attachment_call call =
		call_of(cli, &what->volume, &what->attachment);
	AUTO(json_object_put) struct json_object *flat = NULL;
	AUTO(json_object_put) struct json_object *info = NULL;
	struct hypervisor_attach order = { .host = what->instance.host,
		.instance_id = what->attachment.server_id,
		.volume_id = what->volume.id,
		.attachment_id = what->attachment.id,
		.mode = strcmp(what->attachment.mode, "ro") == 0 ? "ro" : "rw" };

	if (attachment_call_update(&call, what->instance.connector, &flat, err) < 0)
		return -1;
	order.info = info = hypervisor_info(flat);
	return hypervisor_attach(
		cli->rpc, &order, what->device, sizeof(what->device), err);
}

static void say_attached(struct cli *cli, const struct attaching *what)
{
	const struct attachment *attachment = &what->attachment;
	struct json_object *o;

	if (!cli_has(cli, OPT_JSON)) {
		cli_say("volume '%s' is attached to instance '%s' on host '%s' as %s",
			volume_label(&what->volume), attachment->server_id,
			what->instance.host, what->device);
		return;
	}
	o = json_object_new_object();
	json_add_string(o, "volume_id", what->volume.id);
	json_add_string(o, "attachment_id", attachment->id);
	json_add_string(o, "server_id", attachment->server_id);
	json_add_string(o, "host_name", what->instance.host);
	json_add_string(o, "device", what->device);
	json_add_string(o, "mode", attachment->mode);
	cli_json(o);
}

static int attach(struct cli *cli, struct attaching *what, struct error *err)
{
	const char *instance_id = cli->words[1];
	int found = hypervisor_find(cli->rpc, instance_id,
		cli->settings->compute_find_timeout, &what->instance, err);

	if (found == 0)
		return error_set(err, ERR_NOT_FOUND,
			"no host that answers has instance '%s'", instance_id);
	if (found < 0 ||
		store_guest_reserve(cli->db, what->volume.id, instance_id,
			cli->options.value[OPT_MODE], &what->attachment, err) < 0)
		return -1;
	/* Again, and by all steps: each finds what is there. */
	if (connect_guest(cli, what, err) < 0)
		return hypervisor_unheard(err) ? try_again(err, "attach")
			: strcmp(what->attachment.status, "attached") == 0
			? -1
			: put_back(cli, what, err);
	return store_guest_attached(cli->db, &what->attachment, what->device, err);
}

int verb_attach(struct cli *cli, struct error *err)
{
	struct attaching what = { .device = "" };
	const char *mode = cli->options.value[OPT_MODE];
	int done;

	if (mode && strcmp(mode, "rw") != 0 && strcmp(mode, "ro") != 0)
		return error_set(
			err, ERR_USAGE, "'%.32s' is no mode: 'rw' or 'ro'", mode);
	if (check_instance(cli->words[1], err) < 0 ||
		cli_volume(cli, cli->words[0], &what.volume, err) < 0 ||
		cli_broker(cli, err) < 0)
		return -1;
	done = attach(cli, &what, err);
	if (done == 0)
		say_attached(cli, &what);
	instance_clear(&what.instance);
	return done < 0 ? error_context(err, "attach '%s'", volume_label(&what.volume))
			: 0;
}

/* ---- detach ---- */

/* Where it was attached, if that answers; an instance may have moved since. */
static int let_go(
	struct cli *cli, const struct attachment *attachment, struct error *err)
{
	AUTO(instance_clear) struct instance instance = { .connector = NULL };
	const char *id = attachment->server_id;
	struct error silent;
	const double seconds = cli->settings->compute_find_timeout;
	int found = hypervisor_find(cli->rpc, id, seconds, &instance, &silent);

	/* A libvirt that starts just now does not answer at once. */
	if (found <= 0 && attachment->host_name[0])
		found = hypervisor_find(cli->rpc, id, 4 * seconds, &instance, &silent);
	if (found > 0)
		return hypervisor_detach(
			cli->rpc, instance.host, id, attachment->volume_id, err);
	/* Nobody was ever told how to connect to it. */
	if (!attachment->host_name[0])
		return 0;
	/* A host that answers now and did not have it says that it is gone. */
	return hypervisor_detach(
		cli->rpc, attachment->host_name, id, attachment->volume_id, err);
}

static int detach(struct cli *cli, const struct volume *volume, struct error *err)
{
	struct attachment attachment;
	struct error second;

	if (store_guest_detaching(
		    cli->db, volume->id, cli->words[1], &attachment, err) < 0)
		return -1;
	if (let_go(cli, &attachment, err) < 0) {
		if (hypervisor_unheard(err))
			return try_again(err, "detach");
		if (store_guest_kept(cli->db, &attachment, &second) < 0)
			*err = second;
		return -1;
	}
	if (end(cli, volume, &attachment, err) < 0)
		return try_again(err, "detach");
	return 0;
}

int verb_detach(struct cli *cli, struct error *err)
{
	struct volume volume;

	if ((cli->words[1] && check_instance(cli->words[1], err) < 0) ||
		cli_volume(cli, cli->words[0], &volume, err) < 0 ||
		cli_broker(cli, err) < 0)
		return -1;
	if (detach(cli, &volume, err) < 0)
		return error_context(err, "detach '%s'", volume_label(&volume));
	cli_say("volume '%s' is detached", volume_label(&volume));
	return 0;
}
