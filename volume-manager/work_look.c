/* SPDX-License-Identifier: Apache-2.0 */
/* An object that Drover did not make is looked at and its identity written down, before a
 * host is told where it is. */
#include <stdio.h>

#include "common/fault.h"
#include "common/log.h"
#include "common/store/looks.h"
#include "common/store/volumes.h"
#include "volume-manager/work.h"

static int look_at(struct work *work, const char *volume_id, struct error *err)
{
	AUTO(backend_close) struct backend *backend = NULL;
	struct object_row object;
	struct object_id id;
	struct endpoint end;
	struct volume volume;
	int found = work_sure(
		work, store_volume_get(work->db, volume_id, &volume, err), err);

	if (found < 0)
		return -1;
	if (!found)
		return error_set(err, ERR_VOLUME_NOT_FOUND,
			"volume '%s' could not be found", volume_id);
	if (fault_point("look.looking", err) < 0 ||
		work_backend_open(work, volume.host, &backend, err) < 0)
		return -1;
	if (work_find_object(work, backend, volume.name_id, &object, err) < 0)
		return -1;
	/* Is the newest data there, too? */
	snprintf(id.text, sizeof(id.text), "%s", object.identity);
	return backend_endpoint(backend, object.name, &id, &end, err);
}

int work_look(struct work *work, const char *volume_id)
{
	struct error why, err;
	bool ok = look_at(work, volume_id, &why) == 0;

	if (work_stopping(work))
		return WORK_STOPPED;
	if (!ok)
		log_warning("volume '%s' cannot be connected: %s", volume_id, why.text);
	if (work_sure(work,
		    store_look_done(work->db, volume_id, ok ? NULL : &why, &err),
		    &err) < 0)
		return log_error("%s", err.text), WORK_FAILED;
	return WORK_DONE;
}
