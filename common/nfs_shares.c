/* SPDX-License-Identifier: Apache-2.0 */
#include "common/nfs_shares.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/log.h"
#include "common/md5.h"
#include "common/text.h"

#define FILE_MAX (1 << 20)

/* Borrowed bytes, not terminated. */
struct piece {
	const char *at;
	size_t size;
};

static bool is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static struct piece strip(struct piece p)
{
	while (p.size && is_space(p.at[0]))
		p.at++, p.size--;
	while (p.size && is_space(p.at[p.size - 1]))
		p.size--;
	return p;
}

static bool is_plain(const char *text)
{
	size_t left = strlen(text);

	while (left) {
		size_t size = text_utf8_size(text, left);

		if (size == 0 || (unsigned char)*text < ' ' || *text == 0x7f)
			return false;
		text += size;
		left -= size;
	}
	return true;
}

/* A first '-' would make it an option of mount(8). */
bool nfs_share_is_safe(const char *name)
{
	const char *path = strstr(name, ":/");

	while (path && (path == name || !path[2]))
		path = path[2] ? strstr(path + 1, ":/") : NULL;
	return path && name[0] != '-' && strlen(name) < NFS_SHARE_SIZE &&
		is_plain(name);
}

/* With "\040" as a space. False when it does not fit or has a NUL. */
static bool copy_name(struct piece from, char out[NFS_SHARE_SIZE])
{
	size_t used = 0;

	while (from.size) {
		bool is_escape = from.size >= 4 && memcmp(from.at, "\\040", 4) == 0;
		size_t size = is_escape ? 4 : 1;

		if (used == NFS_SHARE_SIZE - 1 || !*from.at)
			return false;
		out[used++] = is_escape ? ' ' : *from.at;
		from.at += size;
		from.size -= size;
	}
	out[used] = '\0';
	return true;
}

static bool copy_options(struct piece from, char out[NFS_OPTIONS_SIZE])
{
	if (from.size >= NFS_OPTIONS_SIZE || memchr(from.at, '\0', from.size))
		return false;
	memcpy(out, from.at, from.size);
	out[from.size] = '\0';
	return is_plain(out);
}

/* 1 a share, 0 none and no comment either. */
static bool read_line(struct piece line, struct nfs_share *out)
{
	const char *space = memchr(line.at, ' ', line.size);
	size_t size = space ? (size_t)(space - line.at) : line.size;
	struct piece name = strip((struct piece) { line.at, size });
	struct piece rest = strip((struct piece) { line.at + size, line.size - size });

	return copy_name(name, out->name) && nfs_share_is_safe(out->name) &&
		copy_options(rest, out->options);
}

static int add(
	struct nfs_shares *shares, const struct nfs_share *share, struct error *err)
{
	struct nfs_share *list;

	for (size_t i = 0; i < shares->count; i++)
		if (strcmp(shares->list[i].name, share->name) == 0) {
			shares->list[i] = *share;
			return 0;
		}
	if (shares->count == NFS_SHARES_MAX)
		return error_set(
			err, ERR_CONFIG, "more than %d shares", NFS_SHARES_MAX);
	list = realloc(shares->list, (shares->count + 1) * sizeof(*list));
	if (!list)
		return error_no_memory(err);
	shares->list = list;
	shares->list[shares->count++] = *share;
	return 0;
}

int nfs_shares_parse(const char *where, const char *text, size_t length,
	struct nfs_shares *out, struct error *err)
{
	AUTO(nfs_shares_clear) struct nfs_shares shares = { 0 };
	struct piece rest = { text, length };
	struct nfs_share share;
	unsigned number = 0;

	while (rest.size) {
		const char *end = memchr(rest.at, '\n', rest.size);
		size_t size = end ? (size_t)(end - rest.at) : rest.size;
		struct piece line = { rest.at, size };

		rest.at += size + (end ? 1 : 0);
		rest.size -= size + (end ? 1 : 0);
		number++;
		if (strip(line).size == 0 || line.at[0] == '#')
			continue;
		if (!read_line(line, &share))
			log_warning("%s:%u: not a share of the form server:/path,"
				    " ignored",
				where, number);
		else if (add(&shares, &share, err) < 0)
			return error_context(err, "%s", where);
	}
	*out = shares;
	shares = (struct nfs_shares) { 0 };
	return 0;
}

void nfs_shares_clear(struct nfs_shares *shares)
{
	free(shares->list);
	*shares = (struct nfs_shares) { 0 };
}

/* The whole of a small regular file. */
static int read_file(const char *path, char **text, size_t *length, struct error *err)
{
	AUTO(fd) int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	AUTO(free) char *buffer = malloc(FILE_MAX + 1);
	struct stat st;
	size_t used = 0;
	ssize_t got = 1;

	if (!buffer)
		return error_no_memory(err);
	if (fd < 0 || fstat(fd, &st) < 0)
		return error_set_errno(
			err, ERR_CONFIG, "cannot read nfs_shares_config '%s'", path);
	if (!S_ISREG(st.st_mode))
		return error_set(err, ERR_CONFIG,
			"nfs_shares_config '%s' is not a regular file", path);
	while (got > 0 && used <= FILE_MAX) {
		got = read(fd, buffer + used, FILE_MAX + 1 - used);
		if (got < 0 && errno == EINTR)
			got = 1;
		else if (got < 0)
			return error_set_errno(err, ERR_CONFIG,
				"cannot read nfs_shares_config '%s'", path);
		else
			used += (size_t)got;
	}
	if (used > FILE_MAX)
		return error_set(
			err, ERR_CONFIG, "nfs_shares_config '%s' is too large", path);
	*text = steal(buffer);
	*length = used;
	return 0;
}

static int load_only(const struct backend_settings *settings, struct nfs_shares *out,
	struct error *err)
{
	AUTO(free)
	char *name = text_format("%s:%s", settings->nas_host, settings->nas_share_path);
	struct nfs_share share = { "", "" };
	const char *options = settings->nas_mount_options;

	if (!name)
		return error_no_memory(err);
	if (!nfs_share_is_safe(name))
		return error_set(err, ERR_CONFIG,
			"nas_host and nas_share_path of backend '%s' make no share of"
			" the form server:/path",
			settings->name);
	text_copy(share.name, sizeof(share.name), name);
	if (options &&
		!copy_options(strip((struct piece) { options, strlen(options) }),
			share.options))
		return error_set(err, ERR_CONFIG,
			"nas_mount_options of backend '%s' are no mount options",
			settings->name);
	return add(out, &share, err);
}

static bool is_set(const char *text)
{
	return text && text[0];
}

static bool is_single(const struct backend_settings *settings)
{
	return is_set(settings->nas_host) && is_set(settings->nas_share_path);
}

int nfs_shares_load(const struct backend_settings *settings, struct nfs_shares *out,
	struct error *err)
{
	AUTO(nfs_shares_clear) struct nfs_shares shares = { 0 };
	const char *path = settings->nfs_shares_config;
	AUTO(free) char *text = NULL;
	size_t length = 0;

	if (is_single(settings)) {
		if (load_only(settings, &shares, err) < 0)
			return -1;
	} else if (!is_set(path)) {
		return error_set(err, ERR_CONFIG,
			"backend '%s' needs nfs_shares_config, or nas_host and "
			"nas_share_path",
			settings->name);
	} else if (read_file(path, &text, &length, err) < 0 ||
		nfs_shares_parse(path, text, length, &shares, err) < 0) {
		return error_context(err, "backend '%s'", settings->name);
	}
	if (shares.count == 0)
		return error_set(err, ERR_CONFIG,
			"backend '%s': there is no share in '%s'", settings->name,
			path);
	*out = shares;
	shares = (struct nfs_shares) { 0 };
	return 0;
}

const struct nfs_share *nfs_shares_find(
	const struct nfs_shares *shares, const char *name)
{
	for (size_t i = 0; i < shares->count; i++)
		if (strcmp(shares->list[i].name, name) == 0)
			return &shares->list[i];
	return NULL;
}

int nfs_mount_base(
	const struct backend_settings *settings, char out[PATH_MAX], struct error *err)
{
	const char *base = settings->nfs_mount_point_base;
	char real[PATH_MAX];
	size_t length;

	if (!base || base[0] != '/' || strlen(base) >= PATH_MAX)
		return error_set(err, ERR_CONFIG,
			"backend '%s' needs an absolute path as nfs_mount_point_base",
			settings->name);
	if (realpath(base, real)) {
		memcpy(out, real, strlen(real) + 1);
		return 0;
	}
	if (errno != ENOENT)
		return error_set_errno(err, ERR_BACKEND,
			"cannot look at nfs_mount_point_base '%s'", base);
	memcpy(out, base, strlen(base) + 1);
	for (length = strlen(out); length > 1 && out[length - 1] == '/';)
		out[--length] = '\0';
	return 0;
}

int nfs_mount_point(const struct backend_settings *settings, const char *share,
	char out[PATH_MAX], struct error *err)
{
	char base[PATH_MAX], name[MD5_TEXT_SIZE];

	if (nfs_mount_base(settings, base, err) < 0)
		return -1;
	md5_text(share, strlen(share), name);
	if (snprintf(out, PATH_MAX, "%s/%s", base[1] ? base : "", name) >= PATH_MAX)
		return error_set(err, ERR_CONFIG,
			"nfs_mount_point_base of backend '%s' is too long",
			settings->name);
	return 0;
}

/* ---- options ---- */

struct options {
	char *out; /* of 2 * NFS_OPTIONS_SIZE bytes */
	size_t used;
};

static int bad_options(const char *text, struct error *err)
{
	return error_set(err, ERR_CONFIG,
		"'%s' is no list of mount options: only -o a,b=c is understood", text);
}

/* One list, "a,b=c". */
static int add_list(struct options *options, struct piece list, const char *whole,
	struct error *err)
{
	while (list.size && list.at[list.size - 1] == ',')
		list.size--;
	for (size_t i = 0; i < list.size; i++)
		if (is_space(list.at[i]) || iscntrl((unsigned char)list.at[i]))
			return bad_options(whole, err);
	if (list.size == 0)
		return 0;
	if (list.at[0] == '-' || options->used + list.size + 2 > 2 * NFS_OPTIONS_SIZE)
		return bad_options(whole, err);
	if (options->used)
		options->out[options->used++] = ',';
	memcpy(options->out + options->used, list.at, list.size);
	options->used += list.size;
	options->out[options->used] = '\0';
	return 0;
}

static struct piece next_word(struct piece *rest)
{
	struct piece word;

	*rest = strip(*rest);
	word = (struct piece) { rest->at, 0 };
	while (word.size < rest->size && !is_space(rest->at[word.size]))
		word.size++;
	rest->at += word.size;
	rest->size -= word.size;
	return word;
}

/* "-o a,b", "-oa,b", "--options a", "--options=a", again and again; what begins otherwise
 * is one list. */
static int add_words(struct options *options, const char *text, struct error *err)
{
	static const char *const flags[] = { "--options=", "--options", "-o" };
	struct piece rest = strip((struct piece) { text, strlen(text) });

	if (rest.size && rest.at[0] != '-')
		return add_list(options, rest, text, err);
	while (rest.size) {
		struct piece word = next_word(&rest);
		size_t flag = 0, i = 0;

		for (; !flag && i < ARRAY_SIZE(flags); i++)
			if (word.size >= strlen(flags[i]) &&
				memcmp(word.at, flags[i], strlen(flags[i])) == 0)
				flag = strlen(flags[i]);
		if (!flag)
			return bad_options(text, err);
		word.at += flag;
		word.size -= flag;
		if (!word.size)
			word = next_word(&rest);
		if (add_list(options, word, text, err) < 0)
			return -1;
		rest = strip(rest);
	}
	return 0;
}

int nfs_mount_options(const struct backend_settings *settings,
	const struct nfs_share *share, char out[2 * NFS_OPTIONS_SIZE],
	struct error *err)
{
	const char *common = settings->nas_mount_options ? settings->nas_mount_options
							 : settings->nfs_mount_options;
	struct options options = { out, 0 };

	out[0] = '\0';
	if (common && add_words(&options, common, err) < 0)
		return error_context(err, "backend '%s'", settings->name);
	/* With nas_host the share's options are those already. */
	if (share && !is_single(settings) &&
		add_words(&options, share->options, err) < 0)
		return error_context(err, "share '%s'", share->name);
	return 0;
}
