/* SPDX-License-Identifier: Apache-2.0 */
/* summary.h - what drover-copy says at the end. */
#ifndef COPY_SUMMARY_H
#define COPY_SUMMARY_H

#include "common/json.h"
#include "copy/job.h"

/* A line for a person, malloc'd: "copied 4.0 GiB in 12.3 s (...)". NULL: no memory. */
char *summary_text(const struct job *job);
/* What --json prints. */
struct json_object *summary_json(const struct job *job);
/* The last event: "done", or "failed" when err is not NULL. */
struct json_object *summary_event(const struct job *job, const struct error *err);

#endif
