/* SPDX-License-Identifier: Apache-2.0 */
/* Objects that Drover did not make: a real Cinder's, found by what its tables say. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "volume-manager/work.h"

/* What the first bytes of an image that is not raw are. */
static const struct {
	const char *bytes;
	size_t size;
	const char *format;
} magics[] = {
	{ "QFI\xfb", 4, "qcow2" },
	{ "QED\0", 4, "qed" },
	{ "KDMV", 4, "vmdk" },
	{ "vhdxfile", 8, "vhdx" },
	{ "conectix", 8, "vpc" },
};

static int refuse_format(const char *name, const char *format, struct error *err)
{
	return error_set(err, ERR_INVALID_VOLUME,
		"the format of '%s' is '%.16s'; only raw volumes are understood", name,
		format);
}

static int read_magic(const char *path, char first[8], struct error *err)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;

	memset(first, 0, 8);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(err, ERR_BACKEND, "cannot open '%s'", path);
	if (S_ISREG(st.st_mode) && pread(fd, first, 8, 0) < 0)
		return error_set_errno(err, ERR_BACKEND, "cannot read '%s'", path);
	return 0;
}

/* Only where no row says that it is raw: a guest may write these bytes to its disk. */
static int check_magic(struct backend *backend, const char *name,
	const struct object_id *id, struct error *err)
{
	struct endpoint end;
	char first[8];

	if (backend_endpoint(backend, name, id, &end, err) < 0 ||
		read_magic(end.path, first, err) < 0)
		return -1;
	for (size_t i = 0; i < ARRAY_SIZE(magics); i++)
		if (memcmp(first, magics[i].bytes, magics[i].size) == 0)
			return refuse_format(name, magics[i].format, err);
	return 0;
}

int work_foreign_look(struct work *work, struct backend *backend, const char *name_id,
	const char *name, struct object_hint *hint, struct error *err)
{
	const char *host = backend_settings_of(backend)->host;

	if (work_sure(work, store_object_hint(work->db, host, name_id, hint, err),
		    err) < 0)
		return -1;
	if (hint->format[0] && strcmp(hint->format, "raw") != 0)
		return refuse_format(name, hint->format, err);
	return backend_look_in(backend, hint->location, err);
}

int work_foreign_check(struct backend *backend, const char *name,
	const struct object_id *id, const struct object_hint *hint, struct error *err)
{
	return hint->format[0] ? 0 : check_magic(backend, name, id, err);
}
