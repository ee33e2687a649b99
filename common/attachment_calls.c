/* SPDX-License-Identifier: Apache-2.0 */
#include "common/attachment_calls.h"

#include "common/address.h"
#include "common/fault.h"
#include "common/store/attachments.h"
#include "common/store/volume_object.h"

static int make_args(
	const struct attachment_call *call, struct json_object **out, struct error *err)
{
	struct json_object *volume = NULL;
	int found = store_volume_object(call->db, call->volume_id, &volume, err);

	if (found < 0)
		return -1;
	if (found == 0)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"volume '%s' is not there any more", call->volume_id);
	*out = json_object_new_object();
	json_add(*out, "vref", volume);
	json_add_string(*out, "attachment_id", call->attachment_id);
	return 0;
}

static int ask(const struct attachment_call *call, const char *method,
	struct json_object *args, struct json_object **out, struct error *err)
{
	char topic[ADDRESS_SIZE + 16];
	struct address to;

	if (address_parse(call->host, &to, err) < 0)
		return -1;
	address_topic(&to, topic);
	if (rpc_client_call(
		    call->client, topic, to.host, method, "3.9", args, out, err) == 0)
		return 0;
	if (err->code == ERR_UNROUTABLE)
		return error_set(err, ERR_UNROUTABLE,
			"the volume manager of '%s' is down", to.backend);
	return -1;
}

int attachment_call_update(const struct attachment_call *call,
	struct json_object *connector, struct json_object **out, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = NULL;
	AUTO(json_object_put) struct json_object *info = NULL;

	if (make_args(call, &args, err) < 0)
		return -1;
	json_add(args, "connector", json_object_get(connector));
	if (ask(call, "attachment_update", args, &info, err) < 0)
		return -1;
	if (!json_object_is_type(info, json_type_object))
		return error_set(err, ERR_INVALID_INPUT,
			"attachment_update: the answer is no object");
	if (fault_point("compute.connected", err) < 0 ||
		store_attachment_told(call->db, call->attachment_id, info, err) < 0)
		return -1;
	*out = steal(info);
	return 0;
}

int attachment_call_delete(const struct attachment_call *call, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = NULL;
	AUTO(json_object_put) struct json_object *result = NULL;

	if (make_args(call, &args, err) < 0)
		return -1;
	return ask(call, "attachment_delete", args, &result, err);
}
