/* SPDX-License-Identifier: Apache-2.0 */
#include "common/error.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "common/auto.h"
#include "common/text.h"

static const char *const code_names[ERR_CODE_COUNT] = {
	[ERR_NONE] = "none",
	[ERR_INTERNAL] = "internal",
	[ERR_NO_MEMORY] = "no_memory",
	[ERR_IO] = "io",
	[ERR_NO_SPACE] = "no_space",
	[ERR_CONFIG] = "config",
	[ERR_USAGE] = "usage",
	[ERR_INVALID_INPUT] = "invalid_input",
	[ERR_NOT_SUPPORTED] = "not_supported",
	[ERR_UNKNOWN_METHOD] = "unknown_method",
	[ERR_UNSUPPORTED_VERSION] = "unsupported_version",
	[ERR_DATABASE] = "database",
	[ERR_DB_UNAVAILABLE] = "database_unavailable",
	[ERR_DB_UNKNOWN] = "commit_unknown",
	[ERR_DB_RETRY] = "database_retry",
	[ERR_BROKER] = "broker",
	[ERR_UNROUTABLE] = "unroutable",
	[ERR_TIMEOUT] = "timeout",
	[ERR_VOLUME_NOT_FOUND] = "volume_not_found",
	[ERR_INVALID_VOLUME] = "invalid_volume",
	[ERR_SNAPSHOT_NOT_FOUND] = "snapshot_not_found",
	[ERR_INVALID_SNAPSHOT] = "invalid_snapshot",
	[ERR_SNAPSHOT_BUSY] = "snapshot_busy",
	[ERR_INVALID_HOST] = "invalid_host",
	[ERR_NO_VALID_BACKEND] = "no_valid_backend",
	[ERR_NOT_FOUND] = "not_found",
	[ERR_AMBIGUOUS] = "ambiguous",
	[ERR_EXISTS] = "exists",
	[ERR_BACKEND] = "backend",
	[ERR_COMPUTE] = "compute",
	[ERR_MISMATCH] = "mismatch",
	[ERR_CANCELLED] = "cancelled",
	[ERR_FENCED] = "fenced",
	[ERR_LOST] = "connection_lost",
	[ERR_ATTACHMENT_NOT_FOUND] = "attachment_not_found",
	[ERR_ATTACH_MODE] = "invalid_attach_mode",
	[ERR_INVALID_UUID] = "invalid_uuid",
};

const char *error_code_name(enum error_code code)
{
	if ((unsigned)code >= ERR_CODE_COUNT)
		return code_names[ERR_INTERNAL];
	return code_names[code];
}

enum error_code error_code_from_name(const char *name)
{
	for (unsigned i = 0; name && i < ERR_CODE_COUNT; i++)
		if (strcmp(code_names[i], name) == 0)
			return (enum error_code)i;
	return ERR_INTERNAL;
}

static void one_line(char *text)
{
	for (unsigned char *p = (unsigned char *)text; *p; p++)
		if (*p < 0x20 || *p == 0x7f)
			*p = '?';
}

static void set(struct error *err, enum error_code code, int errnum, const char *format,
	va_list args)
{
	size_t used;

	err->code = code;
	err->errnum = errnum;
	if (vsnprintf(err->text, sizeof(err->text), format, args) < 0)
		err->text[0] = '\0';
	used = strlen(err->text);
	if (errnum)
		snprintf(err->text + used, sizeof(err->text) - used, ": %s",
			strerror(errnum));
	one_line(err->text);
	text_end_whole(err->text);
}

int error_set(struct error *err, enum error_code code, const char *format, ...)
{
	va_list args;

	if (!err)
		return -1;
	va_start(args, format);
	set(err, code, 0, format, args);
	va_end(args);
	return -1;
}

int error_set_errno(struct error *err, enum error_code code, const char *format, ...)
{
	int errnum = errno;
	va_list args;

	if (!err)
		return -1;
	if ((errnum == ENOSPC || errnum == EDQUOT) &&
		(code == ERR_IO || code == ERR_BACKEND))
		code = ERR_NO_SPACE;
	va_start(args, format);
	set(err, code, errnum, format, args);
	va_end(args);
	return -1;
}

int error_context(struct error *err, const char *format, ...)
{
	char before[ERROR_TEXT_SIZE];
	char text[ERROR_TEXT_SIZE];
	va_list args;

	if (!err)
		return -1;
	va_start(args, format);
	if (vsnprintf(before, sizeof(before), format, args) < 0)
		before[0] = '\0';
	va_end(args);
	one_line(before);
	memcpy(text, err->text, sizeof(text));
	/* Both texts are bounded; what does not fit is cut at the end. */
	size_t used = strnlen(before, sizeof(err->text) - 3);
	memcpy(err->text, before, used);
	memcpy(err->text + used, ": ", 3);
	used += 2;
	size_t rest = strnlen(text, sizeof(err->text) - 1 - used);
	memcpy(err->text + used, text, rest);
	err->text[used + rest] = '\0';
	text_end_whole(err->text);
	return -1;
}

int error_no_memory(struct error *err)
{
	return error_set(err, ERR_NO_MEMORY, "out of memory");
}

void error_clear(struct error *err)
{
	if (!err)
		return;
	err->code = ERR_NONE;
	err->errnum = 0;
	err->text[0] = '\0';
}
