/* SPDX-License-Identifier: Apache-2.0 */
/* The one list of drivers. */
#include <assert.h>

#include "volume-manager/backend.h"

const struct backend_driver *const backend_drivers[] = {
	&file_driver,
	&nfs_driver,
	NULL,
};

const char *const *backend_driver_names(void)
{
	static const char *names[32]; /* the rest stays NULL */
	size_t used = 0;

	for (size_t i = 0; backend_drivers[i]; i++) {
		const char *const *alias = backend_drivers[i]->aliases;

		assert(used < ARRAY_SIZE(names) - 1);
		names[used++] = backend_drivers[i]->name;
		for (; alias && *alias; alias++) {
			assert(used < ARRAY_SIZE(names) - 1);
			names[used++] = *alias;
		}
	}
	return names;
}
