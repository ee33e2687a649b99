/* SPDX-License-Identifier: Apache-2.0 */
/* Temporary volumes on Python cinder-volumes that nobody needs any more: their services are
 * asked to delete them, again and again until they are gone. */
#include <stdlib.h>

#include "common/log.h"
#include "common/store/peer.h"
#include "common/store/volume_object.h"
#include "volume-manager/manager.h"

static int ask_to_delete(
	struct manager *manager, const struct peer_leftover *one, struct error *err)
{
	AUTO(json_object_put) struct json_object *args = json_object_new_object();
	struct json_object *volume = NULL;
	char topic[ADDRESS_SIZE + 16];
	struct address address;
	int found = store_volume_object(manager->db, one->volume.id, &volume, err);

	if (found <= 0 || address_parse(one->volume.host, &address, err) < 0)
		return found;
	json_add(args, "volume", volume);
	json_add_bool(args, "unmanage_only", false);
	json_add_bool(args, "cascade", false);
	address_topic(&address, topic);
	if (rpc_cast(manager->rpc, topic, address.host, true, "delete_volume", "3.0",
		    NULL, args, err) < 0)
		return error_context(err, "have volume '%s' deleted by '%s'",
			one->volume.id, address.backend);
	log_info("temporary volume is to be deleted volume=%s host=%s migration=%s",
		one->volume.id, one->volume.host, one->operation_id);
	return 0;
}

void peers_clean(struct manager *manager, const struct managed *managed)
{
	AUTO(free) struct peer_leftover *list = NULL;
	struct error err;
	int count =
		store_peer_leftovers(manager->db, managed->settings->host, &list, &err);

	if (count < 0)
		log_warning("%s", err.text);
	for (int i = 0; i < count; i++)
		if (ask_to_delete(manager, &list[i], &err) < 0)
			log_warning("%s", err.text);
}
