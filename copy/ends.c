/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/ends.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <string.h>
#include <sys/stat.h>

#include "common/auto.h"
#include "common/text.h"

/* Of paths: something that is there and can be copied, 1; 0: nothing is there. */
static int check_path(const char *role, const char *path, struct error *err)
{
	struct stat st;

	if (stat(path, &st) < 0 && errno == ENOENT)
		return 0;
	if (stat(path, &st) < 0)
		return error_set_errno(
			err, ERR_IO, "cannot look at %s '%s'", role, path);
	if (S_ISDIR(st.st_mode))
		return error_set(err, ERR_INVALID_INPUT,
			"%s '%s' is a directory: name a file or a block device", role,
			path);
	if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
		return error_set(err, ERR_INVALID_INPUT,
			"%s '%s' is neither a regular file nor a block device", role,
			path);
	return 1;
}

static bool is_same(const struct ends *ends)
{
	const struct endpoint_facts *a = &ends->source_facts;
	const struct endpoint_facts *b = &ends->target_facts;

	if (a->kind != b->kind)
		return false;
	if (a->kind == ENDPOINT_SERVER)
		return strcmp(ends->source->uri, ends->target->uri) == 0;
	return a->device == b->device && a->inode == b->inode;
}

/* The kernel gives a device that is mounted, or part of another, to nobody for himself. */
static int check_idle(const struct ends *ends, struct error *err)
{
	AUTO(fd) int fd = -1;

	if (ends->target_facts.kind != ENDPOINT_DEVICE)
		return 0;
	fd = open(ends->target->path, O_RDONLY | O_EXCL | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0 && errno == EBUSY)
		return error_set(err, ERR_INVALID_INPUT,
			"target '%s' is in use: unmount it, or take it out of what it "
			"is part of",
			ends->target->path);
	return 0;
}

static int check_target(const struct ends *ends, struct error *err)
{
	const struct endpoint_facts *facts = &ends->target_facts;
	uint64_t size = ends->source_facts.size;

	if (is_same(ends))
		return error_set(err, ERR_INVALID_INPUT,
			"source '%s' and target '%s' are the same",
			endpoint_name(ends->source), endpoint_name(ends->target));
	if (facts->kind != ENDPOINT_FILE && facts->size < size)
		return error_set(err, ERR_INVALID_INPUT,
			"target '%s' has %" PRIu64
			" bytes, fewer than the source's %" PRIu64
			": it must be at least as large",
			endpoint_name(ends->target), facts->size, size);
	return check_idle(ends, err);
}

int ends_look(struct ends *ends, const struct endpoint *source,
	const struct endpoint *target, double deadline_s, struct error *err)
{
	int there;

	*ends = (struct ends) {
		.source = source,
		.target = target,
		.deadline_s = deadline_s,
	};
	if (source->path[0] && check_path("source", source->path, err) < 0)
		return -1;
	there = target->path[0] ? check_path("target", target->path, err) : 1;
	if (there < 0 ||
		endpoint_look(source, "source", deadline_s, &ends->source_facts, err) <
			0)
		return -1;
	ends->target_exists = there;
	if (!there)
		return 0;
	if (endpoint_look(target, "target", deadline_s, &ends->target_facts, err) < 0)
		return -1;
	return check_target(ends, err);
}

/* The name of a new file is to survive a crash as its bytes do. */
static void flush_directory(const char *path)
{
	char copy[PATH_MAX];
	AUTO(fd) int fd = -1;

	text_copy(copy, sizeof(copy), path);
	fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd >= 0)
		fsync(fd);
}

int ends_fit_target(struct ends *ends, struct error *err)
{
	const char *path = ends->target->path;
	int flags = ends->target_exists ? 0 : O_CREAT | O_EXCL;
	AUTO(fd) int fd = -1;

	if (ends->target_exists && ends->target_facts.kind != ENDPOINT_FILE)
		return 0;
	fd = open(path, flags | O_WRONLY | O_CLOEXEC | O_NONBLOCK, 0666);
	if (fd < 0)
		return error_set_errno(err, ERR_IO, "cannot %s target '%s'",
			ends->target_exists ? "open" : "create", path);
	ends->target_made = !ends->target_exists;
	/* Not every file system can, and where it need not it is not asked. */
	if ((ends->target_made || ends->target_facts.size != ends->source_facts.size) &&
		ftruncate(fd, (off_t)ends->source_facts.size) < 0)
		error_set_errno(err, ERR_IO,
			"cannot set target '%s' to %" PRIu64 " bytes", path,
			ends->source_facts.size);
	else if (endpoint_look(ends->target, "target", 0, &ends->target_facts, err) ==
		0) {
		if (ends->target_made)
			flush_directory(path);
		return 0;
	}
	ends_undo(ends);
	return -1;
}

void ends_undo(struct ends *ends)
{
	if (ends->target_made)
		unlink(ends->target->path);
	ends->target_made = false;
}

int ends_check_source(const struct ends *ends, struct error *err)
{
	const struct endpoint_facts *before = &ends->source_facts;
	struct endpoint_facts now;

	if (before->kind != ENDPOINT_FILE)
		return 0;
	if (endpoint_look(ends->source, "source", 0, &now, err) < 0)
		return -1;
	if (now.device != before->device || now.inode != before->inode ||
		now.size != before->size || now.mtime_ns != before->mtime_ns)
		return error_set(err, ERR_INVALID_INPUT,
			"source '%s' was changed while it was copied: copy it again",
			ends->source->path);
	return 0;
}

uint64_t ends_beyond(const struct ends *ends)
{
	return ends->target_facts.size - ends->source_facts.size;
}

bool ends_have_server(const struct ends *ends)
{
	return ends->source_facts.kind == ENDPOINT_SERVER ||
		ends->target_facts.kind == ENDPOINT_SERVER;
}

bool ends_cannot_tell(const struct ends *ends)
{
	return ends->source_facts.kind != ENDPOINT_FILE ||
		ends->target_facts.kind != ENDPOINT_FILE;
}
