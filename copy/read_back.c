/* SPDX-License-Identifier: Apache-2.0 */
/* What the target's host does for a copy from another one. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "common/auto.h"
#include "copy/copy.h"
#include "copy/digest.h"
#include "copy/end.h"
#include "copy/scan.h"
#include "copy/side.h"
#include "copy/slot.h"

static const struct copy_digest zeroes;

size_t copy_digest_count(uint64_t from, uint64_t to)
{
	return (size_t)((to - from + CHUNK_SIZE - 1) / CHUNK_SIZE);
}

struct answer {
	uint64_t from;
	struct copy_digest *digests;
};

static int check_range(const struct end *end, uint64_t from, uint64_t to, size_t count,
	struct error *err)
{
	if (from <= to && from % CHUNK_SIZE == 0 && to <= end->size &&
		count == copy_digest_count(from, to))
		return 0;
	return error_set(err, ERR_INVALID_INPUT,
		"%" PRIu64 " to %" PRIu64 " is not a range of %zu chunks of '%s'", from,
		to, count, end->name);
}

static int on_chunk(void *arg, struct slot *slot, const struct copy_digest *digest,
	struct error *err)
{
	const struct answer *answer = arg;

	(void)err;
	answer->digests[(slot->offset - answer->from) / CHUNK_SIZE] = *digest;
	return 0;
}

int copy_read_back(const struct endpoint *local, uint64_t from, uint64_t to,
	struct copy_digest *digests, size_t count, struct error *err)
{
	const struct end_options options = { .writable = false };
	struct answer answer = { .from = from, .digests = digests };
	AUTO(scan_free) struct scan *scan = scan_new();
	AUTO(end_close) struct end *end = NULL;

	if (!scan)
		return error_no_memory(err);
	if (end_open_path("target", local, &options, &end, err) < 0 ||
		check_range(end, from, to, count, err) < 0 ||
		side_flush(end->side, err) < 0)
		return -1;
	memset(digests, 0, count * sizeof(*digests));
	end->ops->forget(end, from, to);
	return scan_run(scan, end, from, to, &options.wait, on_chunk, &answer, err);
}

/* One item is a digest, or "z" and the length of a run of zeroes. Commas between them. */
int copy_digests_to_text(
	const struct copy_digest *digests, size_t count, char **text, struct error *err)
{
	char *out = malloc(count * DIGEST_TEXT_SIZE + 1);
	size_t used = 0, run;

	if (!out)
		return error_no_memory(err);
	out[0] = '\0';
	for (size_t i = 0; i < count; i += run) {
		char item[DIGEST_TEXT_SIZE];

		run = 0;
		while (i + run < count && digest_equal(&digests[i + run], &zeroes))
			run++;
		if (run > 0) {
			snprintf(item, sizeof(item), "z%zu", run);
		} else {
			digest_to_text(&digests[i], item);
			run = 1;
		}
		used += (size_t)sprintf(out + used, "%s%s", used ? "," : "", item);
	}
	*text = out;
	return 0;
}

/* The number of digests that the item of this length stands for; 0: it is none, or more
 * than room. */
static size_t parse_item(
	const char *item, size_t length, struct copy_digest *out, size_t room)
{
	char text[DIGEST_TEXT_SIZE] = "";
	size_t run = 0;

	if (length == 0 || length >= sizeof(text) || room == 0)
		return 0;
	memcpy(text, item, length);
	if (text[0] != 'z')
		return digest_from_text(text, out) ? 1 : 0;
	for (const char *p = text + 1; *p; p++) {
		if (*p < '0' || *p > '9' || run > room)
			return 0;
		run = run * 10 + (size_t)(*p - '0');
	}
	if (run > room)
		return 0;
	memset(out, 0, run * sizeof(*out));
	return run;
}

int copy_digests_from_text(
	const char *text, struct copy_digest *digests, size_t count, struct error *err)
{
	const char *p = text;
	size_t done = 0;

	while (*p) {
		size_t length = strcspn(p, ",");
		size_t run = parse_item(p, length, digests + done, count - done);

		p += length;
		if (run == 0 || (*p == ',' && !p[1]))
			return error_set(err, ERR_INVALID_INPUT,
				"not a list of %zu digests", count);
		done += run;
		p += *p == ',';
	}
	if (done != count)
		return error_set(err, ERR_INVALID_INPUT,
			"a list of %zu digests in place of %zu", done, count);
	return 0;
}
