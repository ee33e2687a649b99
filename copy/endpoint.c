/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints as people name them, and what they are. */
#include <errno.h>
#include <linux/fs.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>

#include "common/text.h"
#include "copy/remote.h"
#include "copy/side.h"

/* "scheme://": letters, digits, "+", "-", "." */
static size_t scheme_length(const char *text)
{
	size_t length = strspn(text,
		"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-.");

	return length > 0 && strncmp(text + length, "://", 3) == 0 ? length : 0;
}

int endpoint_parse(const char *text, struct endpoint *out, struct error *err)
{
	static const char *const schemes[] = { "nbd", "nbds", "nbd+unix", "nbds+unix" };
	size_t length = scheme_length(text);
	struct endpoint end = { 0 };
	bool known = false;

	for (size_t i = 0; i < ARRAY_SIZE(schemes); i++)
		known = known ||
			(strlen(schemes[i]) == length &&
				strncmp(text, schemes[i], length) == 0);
	if (length > 0 && !known)
		return error_set(err, ERR_USAGE,
			"cannot copy from or to '%s': not a path, nor nbd://, nbds://, "
			"nbd+unix:// or nbds+unix://",
			text);
	if (!text[0] || strlen(text) >= (known ? sizeof(end.uri) : sizeof(end.path)))
		return error_set(err, ERR_USAGE, "'%.60s' is %s", text,
			text[0] ? "too long" : "not a path");
	text_copy(known ? end.uri : end.path,
		known ? sizeof(end.uri) : sizeof(end.path), text);
	*out = end;
	return 0;
}

const char *endpoint_name(const struct endpoint *end)
{
	if (end->uri[0])
		return end->uri;
	return end->nbd.host[0] ? end->nbd.host : end->path;
}

static int look_at_server(const struct endpoint *end, const char *role,
	double deadline_s, struct endpoint_facts *out, struct error *err)
{
	const struct end_wait wait = { 0 };
	AUTO(remote_close) struct remote *remote = NULL;

	if (remote_open(role, end, deadline_s > 0 ? deadline_s : 30, 1, &wait, &remote,
		    err) < 0)
		return -1;
	*out = (struct endpoint_facts) {
		.kind = ENDPOINT_SERVER,
		.size = remote->size,
	};
	return 0;
}

int endpoint_look(const struct endpoint *end, const char *role, double deadline_s,
	struct endpoint_facts *out, struct error *err)
{
	struct side state = { .fd = -1, .direct = -1 };
	AUTO(side_close) struct side *side = &state;
	struct stat st;

	if (endpoint_is_remote(end))
		return look_at_server(end, role, deadline_s, out, err);
	if (side_open(side, role, end, false, err) < 0)
		return -1;
	if (fstat(side->fd, &st) < 0)
		return error_set_errno(
			err, ERR_IO, "cannot look at %s '%s'", role, end->path);
	*out = (struct endpoint_facts) {
		.kind = side->is_file ? ENDPOINT_FILE : ENDPOINT_DEVICE,
		.size = side->size,
		.device = side->is_file ? st.st_dev : st.st_rdev,
		.inode = side->is_file ? st.st_ino : 0,
		.mtime_ns = side->is_file
			? st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec
			: 0,
		.allocated = side->is_file ? (uint64_t)st.st_blocks * 512 : 0,
	};
	return 0;
}

int copy_clone(const struct endpoint *source, const struct endpoint *target,
	uint64_t size, struct error *err)
{
	struct side from = { .fd = -1, .direct = -1 }, to = from;
	AUTO(side_close) struct side *source_side = &from;
	AUTO(side_close) struct side *target_side = &to;

	if (endpoint_is_remote(source) || endpoint_is_remote(target))
		return 0;
	if (sides_open(source, target, size, source_side, target_side, err) < 0)
		return -1;
	if (!from.is_file || !to.is_file || to.size != size)
		return 0;
	if (ioctl(to.fd, FICLONE, from.fd) < 0) {
		if (errno == EOPNOTSUPP || errno == EXDEV || errno == EINVAL ||
			errno == ENOTTY || errno == ENOSYS)
			return 0;
		return error_set_errno(err, ERR_IO, "cannot clone source '%s' to '%s'",
			source->path, target->path);
	}
	return side_flush(target_side, err) < 0 ? -1 : 1;
}
