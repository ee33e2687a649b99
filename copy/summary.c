/* SPDX-License-Identifier: Apache-2.0 */
#include "copy/summary.h"

#include <string.h>

#include "common/text.h"

/* A word for programs, a phrase for people. */
struct way {
	const char *word, *phrase;
};

static struct way how_verified(const struct job *job)
{
	static const struct way ways[] = {
		[COPY_VERIFIED_NOT] = { "none", "not verified" },
		[COPY_VERIFIED_STORAGE] = { "storage",
			"verified: read back from the storage" },
		[COPY_VERIFIED_CACHE] = { "cache",
			"verified: read back after its pages were dropped from the cache" },
		[COPY_VERIFIED_SERVER] = { "server",
			"verified: read back through the server, whose cache may have "
			"answered" },
	};
	static const struct way shared = {
		"shared",
		"verified: the file system shares the blocks, other bytes were compared"
	};

	if (job->command->verify == COPY_VERIFY_NONE)
		return ways[COPY_VERIFIED_NOT];
	return job->cloned ? shared : ways[job->result.verified];
}

static const char *receipt(const struct job *job)
{
	return job->result.digest[0] ? job->result.digest : NULL;
}

static uint64_t total(const struct job *job)
{
	return job->ends.source_facts.size;
}

static double rate(const struct job *job)
{
	uint64_t done = total(job) - job->resumed_from;

	return job->seconds > 0.001 ? (double)done / job->seconds : 0;
}

static void put_bytes(FILE *out, const struct job *job)
{
	char size[SIZE_TEXT_SIZE], copied[SIZE_TEXT_SIZE], skipped[SIZE_TEXT_SIZE];
	char speed[SIZE_TEXT_SIZE];

	fprintf(out, "%s %s in %.1f s", job->cloned ? "cloned" : "copied",
		text_size(size, total(job) - job->resumed_from), job->seconds);
	if (job->cloned)
		return;
	if (rate(job) >= 1)
		fprintf(out, " (%s/s)", text_size(speed, (uint64_t)rate(job)));
	fprintf(out, ", %s written, %s zeroes or holes",
		text_size(copied, job->progress.copied),
		text_size(skipped, job->progress.skipped));
}

char *summary_text(const struct job *job)
{
	char size[SIZE_TEXT_SIZE];
	char *text = NULL;
	size_t length;
	FILE *out = open_memstream(&text, &length);

	if (!out)
		return NULL;
	put_bytes(out, job);
	if (job->resumed)
		fprintf(out, "; %s were copied before",
			text_size(size, job->resumed_from));
	fprintf(out, "; %s", how_verified(job).phrase);
	if (ends_beyond(&job->ends) > 0)
		fprintf(out, "; the last %s of the target were left alone",
			text_size(size, ends_beyond(&job->ends)));
	if (receipt(job))
		fprintf(out, "; receipt %s", receipt(job));
	if (fclose(out) != 0) {
		free(text);
		return NULL;
	}
	return text;
}

static void add_outcome(struct json_object *o, const struct job *job)
{
	json_add_int(o, "copied", (int64_t)job->progress.copied);
	json_add_int(o, "skipped", (int64_t)job->progress.skipped);
	json_add_double(o, "seconds", job->seconds);
	json_add_string(o, "verified", how_verified(job).word);
	json_add_string(o, "receipt", receipt(job));
}

struct json_object *summary_json(const struct job *job)
{
	struct json_object *o = json_object_new_object();

	json_add_string(o, "source", endpoint_name(job->ends.source));
	json_add_string(o, "target", endpoint_name(job->ends.target));
	json_add_int(o, "size", (int64_t)total(job));
	json_add_int(o, "resumed_from", (int64_t)job->resumed_from);
	add_outcome(o, job);
	json_add_int(o, "rate", (int64_t)rate(job));
	json_add_bool(o, "cloned", job->cloned);
	json_add_int(o, "left_alone", (int64_t)ends_beyond(&job->ends));
	json_add_int(o, "losses", job->losses);
	return o;
}

struct json_object *summary_event(const struct job *job, const struct error *err)
{
	struct json_object *o = json_object_new_object();

	json_add_string(o, "event", err ? "failed" : "done");
	json_add_int(o, "total", (int64_t)job->progress.total);
	json_add_int(o, "position",
		(int64_t)(err ? job->progress.position : job->progress.total));
	if (!err)
		add_outcome(o, job);
	else {
		json_add_int(o, "copied", (int64_t)job->progress.copied);
		json_add_int(o, "skipped", (int64_t)job->progress.skipped);
		json_add_double(o, "seconds", job->seconds);
		json_add_string(o, "verified", "none");
		json_add_string(o, "receipt", NULL);
	}
	json_add_string(o, "error", err ? err->text : NULL);
	json_add_string(o, "code", err ? error_code_name(err->code) : NULL);
	return o;
}
