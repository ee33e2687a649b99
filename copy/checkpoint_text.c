/* SPDX-License-Identifier: Apache-2.0 */
/* What a checkpoint looks like, and whether it is of this copy. */
#include <inttypes.h>
#include <string.h>

#include "common/text.h"
#include "copy/checkpoint_file.h"
#include "copy/digest.h"

#define MAGIC "drover-copy checkpoint "
#define VERSION "2" /* 1 had other digests */
#define BEGIN_ANEW "remove the checkpoint file to begin anew"

static const char *const kinds[] = {
	[ENDPOINT_FILE] = "file",
	[ENDPOINT_DEVICE] = "device",
	[ENDPOINT_SERVER] = "server",
};

static const char *verify_name(enum copy_verify verify)
{
	return verify == COPY_VERIFY_NONE ? "none" : "readback";
}

/* ---- to text ---- */

/* A name as one word: bytes that are no plain ASCII become %xx. */
static void put_name(FILE *out, const char *name)
{
	for (const unsigned char *p = (const unsigned char *)name; *p; p++)
		fprintf(out, *p <= ' ' || *p >= 0x7f || *p == '%' ? "%%%02x" : "%c",
			*p);
}

static void put_end(FILE *out, const char *role, const struct checkpoint_end *end)
{
	const struct endpoint_facts *facts = &end->facts;

	fprintf(out, "%s %s %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRId64 " ", role,
		kinds[facts->kind], facts->size, facts->device, facts->inode,
		facts->mtime_ns);
	put_name(out, end->name);
	putc('\n', out);
}

static void put_body(FILE *out, const struct checkpoint *checkpoint)
{
	fputs(MAGIC VERSION "\n", out);
	put_end(out, "source", &checkpoint->source);
	put_end(out, "target", &checkpoint->target);
	fprintf(out, "verify %s\noffset %" PRIu64 "\nchain %s\n",
		verify_name(checkpoint->verify), checkpoint->offset,
		checkpoint->chain[0] ? checkpoint->chain : "-");
}

int checkpoint_to_text(
	const struct checkpoint *checkpoint, char **text, struct error *err)
{
	AUTO(free) char *body = NULL;
	size_t size = 0;
	FILE *out = open_memstream(&body, &size);
	struct copy_digest digest;
	char sum[DIGEST_TEXT_SIZE];
	char *whole;

	if (!out)
		return error_no_memory(err);
	put_body(out, checkpoint);
	if (fclose(out) != 0)
		return error_no_memory(err);
	digest_of(body, size, &digest);
	digest_to_text(&digest, sum);
	whole = text_format("%ssum %s\n", body, sum);
	if (!whole)
		return error_no_memory(err);
	*text = whole;
	return 0;
}

/* ---- from text ---- */

static bool take(const char **at, const char *what)
{
	size_t length = strlen(what);

	if (strncmp(*at, what, length) != 0)
		return false;
	*at += length;
	return true;
}

/* Up to end, which is taken too. */
static bool take_word(const char **at, char end, char *out, size_t size)
{
	size_t length = strcspn(*at, " \n");

	if ((*at)[length] != end || length >= size)
		return false;
	memcpy(out, *at, length);
	out[length] = '\0';
	*at += length + 1;
	return true;
}

static bool take_number(const char **at, char end, uint64_t *out)
{
	char word[24], *rest;

	if (!take_word(at, end, word, sizeof(word)))
		return false;
	*out = strtoull(word, &rest, 10);
	return *rest == '\0';
}

static bool take_signed(const char **at, char end, int64_t *out)
{
	char word[24], *rest;

	if (!take_word(at, end, word, sizeof(word)))
		return false;
	*out = strtoll(word, &rest, 10);
	return *rest == '\0';
}

static bool take_kind(const char **at, enum endpoint_kind *out)
{
	char word[8];

	if (!take_word(at, ' ', word, sizeof(word)))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++)
		if (strcmp(kinds[i], word) == 0) {
			*out = (enum endpoint_kind)i;
			return true;
		}
	return false;
}

static bool take_name(const char **at, char *out, size_t size)
{
	size_t used = 0;

	for (; **at && **at != '\n' && used + 1 < size; ++*at) {
		char hex[3] = { 0 };

		if (**at != '%') {
			out[used++] = **at;
			continue;
		}
		if (!(*at)[1] || !(*at)[2])
			return false;
		memcpy(hex, *at + 1, 2);
		out[used++] = (char)strtoul(hex, NULL, 16);
		*at += 2;
	}
	out[used] = '\0';
	return used > 0 && take(at, "\n");
}

static bool take_end(const char **at, const char *role, struct checkpoint_end *out)
{
	struct endpoint_facts *facts = &out->facts;

	return take(at, role) && take_kind(at, &facts->kind) &&
		take_number(at, ' ', &facts->size) &&
		take_number(at, ' ', &facts->device) &&
		take_number(at, ' ', &facts->inode) &&
		take_signed(at, ' ', &facts->mtime_ns) &&
		take_name(at, out->name, sizeof(out->name));
}

static bool take_rest(const char **at, struct checkpoint *out)
{
	struct copy_digest digest;
	char verify[12];

	if (!take(at, "verify ") || !take_word(at, '\n', verify, sizeof(verify)) ||
		!take(at, "offset ") || !take_number(at, '\n', &out->offset) ||
		!take(at, "chain ") ||
		!take_word(at, '\n', out->chain, sizeof(out->chain)))
		return false;
	out->verify =
		strcmp(verify, "none") == 0 ? COPY_VERIFY_NONE : COPY_VERIFY_READBACK;
	if (strcmp(out->chain, "-") == 0)
		out->chain[0] = '\0';
	else if (!digest_from_text(out->chain, &digest))
		return false;
	return out->offset <= out->source.facts.size;
}

/* What was understood must give the same text again, its digest included: nothing else
 * has to be checked for being well-formed. */
static bool is_text_of(
	const struct checkpoint *checkpoint, const char *text, size_t length)
{
	AUTO(free) char *again = NULL;

	return checkpoint_to_text(checkpoint, &again, NULL) == 0 &&
		strlen(again) == length && memcmp(again, text, length) == 0;
}

int checkpoint_from_text(
	const char *text, size_t length, struct checkpoint *out, struct error *err)
{
	AUTO(free) struct checkpoint *new = calloc(1, sizeof(*new));
	AUTO(free) char *copy = NULL;
	const char *at;

	if (length < CHECKPOINT_TEXT_MAX)
		copy = strndup(text, length);
	if (!new || (length < CHECKPOINT_TEXT_MAX && !copy))
		return error_no_memory(err);
	at = copy ? copy : "";
	if (!take(&at, MAGIC))
		return error_set(err, ERR_INVALID_INPUT,
			"this is not a checkpoint of drover-copy");
	if (!take(&at, VERSION "\n"))
		return error_set(err, ERR_INVALID_INPUT,
			"it was written by another version: " BEGIN_ANEW);
	if (!take_end(&at, "source ", &new->source) ||
		!take_end(&at, "target ", &new->target) || !take_rest(&at, new) ||
		!is_text_of(new, text, length))
		return error_set(err, ERR_INVALID_INPUT, "it is damaged: " BEGIN_ANEW);
	*out = *new;
	return 0;
}

/* ---- of this copy? ---- */

static int check_facts(const char *role, const struct checkpoint_end *saved,
	const struct checkpoint_end *now, bool may_be_written, struct error *err)
{
	const struct endpoint_facts *a = &saved->facts, *b = &now->facts;

	if (a->kind != b->kind || a->device != b->device || a->inode != b->inode)
		return error_set(err, ERR_INVALID_INPUT,
			"%s '%s' is another %s than the one it was begun with: " BEGIN_ANEW,
			role, now->name, kinds[a->kind]);
	if (a->size != b->size)
		return error_set(err, ERR_INVALID_INPUT,
			"%s '%s' has %" PRIu64 " bytes now, had %" PRIu64
			": " BEGIN_ANEW,
			role, now->name, b->size, a->size);
	if (!may_be_written && a->mtime_ns != b->mtime_ns)
		return error_set(err, ERR_INVALID_INPUT,
			"%s '%s' was written to since: " BEGIN_ANEW, role, now->name);
	return 0;
}

int checkpoint_check(
	const struct checkpoint *saved, const struct checkpoint *now, struct error *err)
{
	if (strcmp(saved->source.name, now->source.name) != 0 ||
		strcmp(saved->target.name, now->target.name) != 0)
		return error_set(err, ERR_INVALID_INPUT,
			"it is of a copy from '%.200s' to '%.200s': " BEGIN_ANEW,
			saved->source.name, saved->target.name);
	if (check_facts("source", &saved->source, &now->source, false, err) < 0 ||
		check_facts("target", &saved->target, &now->target, true, err) < 0)
		return -1;
	if (saved->verify != now->verify)
		return error_set(err, ERR_INVALID_INPUT,
			"it is of a copy with --verify=%s: give that, or " BEGIN_ANEW,
			verify_name(saved->verify));
	if (saved->verify == COPY_VERIFY_READBACK && saved->offset > 0 &&
		!saved->chain[0])
		return error_set(
			err, ERR_INVALID_INPUT, "it has no digest: " BEGIN_ANEW);
	return 0;
}
