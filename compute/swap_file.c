/* SPDX-License-Identifier: Apache-2.0 */
/* The file of a swap: one JSON object, replaced as a whole. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "compute/swap.h"

#define VERSION 1
#define FILE_MAX 65536

static struct json_object *to_json(const struct swap *swap)
{
	struct json_object *o = json_object_new_object();

	json_add_int(o, "version", VERSION);
	json_add_string(o, "instance", swap->instance);
	json_add_string(o, "volume", swap->volume);
	json_add_string(o, "target", swap->target);
	json_add_string(o, "answer_to", swap->answer_to);
	json_add_string(o, "step", swap_step_name(swap->step));
	json_add_string(o, "reason", swap->reason);
	json_add_bool(o, "read_only", swap->read_only);
	json_add_int(o, "rate", (int64_t)swap->rate);
	json_add(o, "from", location_to_json(&swap->from));
	json_add(o, "to", location_to_json(&swap->to));
	json_add_int(o, "domain_id", swap->domain_id);
	json_add_int(o, "pivots", swap->pivots);
	json_add_bool(o, "answered", swap->answered);
	json_add_int(o, "ended_at", swap->ended_at);
	return o;
}

static int read_id(struct json_object *o, const char *key, char out[UUID_TEXT_SIZE],
	struct error *err)
{
	const char *text;

	if (json_get_string(o, key, &text, err) < 0)
		return -1;
	if (!uuid_is(text))
		return error_set(err, ERR_INVALID_INPUT, "'%s' is no id", key);
	memcpy(out, text, UUID_TEXT_SIZE);
	return 0;
}

static int read_texts(struct json_object *o, struct swap *out, struct error *err)
{
	const char *step, *reason, *answer_to;

	if (read_id(o, "instance", out->instance, err) < 0 ||
		read_id(o, "volume", out->volume, err) < 0 ||
		read_id(o, "target", out->target, err) < 0 ||
		json_get_string(o, "step", &step, err) < 0 ||
		json_get_string(o, "reason", &reason, err) < 0 ||
		json_get_string(o, "answer_to", &answer_to, err) < 0)
		return -1;
	text_copy(out->reason, sizeof(out->reason), reason);
	text_copy(out->answer_to, sizeof(out->answer_to), answer_to);
	return swap_step_from_name(step, &out->step, err);
}

static int from_json(struct json_object *o, struct swap *out, struct error *err)
{
	struct json_object *from, *to;
	int64_t version, rate, id, pivots;

	if (json_get_int(o, "version", 1, INT64_MAX, &version, err) < 0)
		return -1;
	if (version != VERSION)
		return error_set(err, ERR_INVALID_INPUT,
			"it is of version %lld, which this program does not know",
			(long long)version);
	if (read_texts(o, out, err) < 0 ||
		json_get_bool_or(o, "read_only", false, &out->read_only, err) < 0 ||
		json_get_int(o, "rate", 0, INT64_MAX, &rate, err) < 0 ||
		json_get_object(o, "from", &from, err) < 0 ||
		json_get_object(o, "to", &to, err) < 0 ||
		location_from_json(from, &out->from, err) < 0 ||
		location_from_json(to, &out->to, err) < 0 ||
		json_get_int(o, "domain_id", -1, INT32_MAX, &id, err) < 0 ||
		json_get_int(o, "pivots", 0, INT32_MAX, &pivots, err) < 0 ||
		json_get_bool_or(o, "answered", false, &out->answered, err) < 0 ||
		json_get_int(o, "ended_at", 0, INT64_MAX, &out->ended_at, err) < 0)
		return -1;
	out->rate = (uint64_t)rate;
	out->domain_id = (int)id;
	out->pivots = (int)pivots;
	return 0;
}

/* ---- the file ---- */

static char *path_of(const char *directory, const struct swap *swap)
{
	return text_format(
		"%s/%s.%s.%s", directory, swap->instance, swap->volume, swap->target);
}

static int sync_directory(const char *directory, struct error *err)
{
	AUTO(fd) int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	if (fd < 0 || fsync(fd) < 0)
		return error_set_errno(err, ERR_IO, "cannot sync '%s'", directory);
	return 0;
}

static int write_whole(int fd, const char *text, const char *path, struct error *err)
{
	size_t left = strlen(text);

	while (left) {
		ssize_t put = write(fd, text, left);

		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return error_set_errno(err, ERR_IO, "cannot write '%s'", path);
		text += put;
		left -= (size_t)put;
	}
	if (fsync(fd) < 0)
		return error_set_errno(err, ERR_IO, "cannot sync '%s'", path);
	return 0;
}

int swap_file_save(const char *directory, const struct swap *swap, struct error *err)
{
	const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW;
	AUTO(json_object_put) struct json_object *o = to_json(swap);
	AUTO(free) char *text = json_text_pretty(o);
	AUTO(free) char *path = path_of(directory, swap);
	AUTO(free) char *fresh = path ? text_format("%s.new", path) : NULL;
	AUTO(fd) int fd = -1;

	if (!text || !fresh)
		return error_no_memory(err);
	fd = open(fresh, flags, 0600);
	if (fd < 0)
		return error_set_errno(err, ERR_IO, "cannot open '%s'", fresh);
	if (write_whole(fd, text, fresh, err) < 0)
		return -1;
	if (rename(fresh, path) < 0)
		return error_set_errno(err, ERR_IO, "cannot replace '%s'", path);
	return sync_directory(directory, err);
}

static int read_text(const char *path, char *text, size_t size, struct error *err)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	size_t used = 0;

	while (fd >= 0 && used < size) {
		ssize_t got = read(fd, text + used, size - used);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			break;
		if (got == 0)
			return (int)used;
		used += (size_t)got;
	}
	if (used == size)
		return error_set(err, ERR_INVALID_INPUT, "'%s' is too large", path);
	return error_set_errno(err, ERR_IO, "cannot read '%s'", path);
}

int swap_file_load(const char *path, struct swap *out, struct error *err)
{
	AUTO(json_object_put) struct json_object *o = NULL;
	AUTO(free) char *text = malloc(FILE_MAX);
	struct swap swap = { 0 };
	int length;

	if (!text)
		return error_no_memory(err);
	length = read_text(path, text, FILE_MAX, err);
	if (length < 0)
		return -1;
	if (json_parse(text, (size_t)length, &o, err) < 0 ||
		from_json(o, &swap, err) < 0)
		return error_context(err, "file '%s'", path);
	*out = swap;
	return 0;
}

int swap_file_remove(const char *directory, const struct swap *swap, struct error *err)
{
	AUTO(free) char *path = path_of(directory, swap);

	if (!path)
		return error_no_memory(err);
	if (unlink(path) < 0 && errno != ENOENT)
		return error_set_errno(err, ERR_IO, "cannot remove '%s'", path);
	return 0;
}
