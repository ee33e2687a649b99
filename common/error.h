/* SPDX-License-Identifier: Apache-2.0 */
/* error.h - what went wrong, for a person and for a peer.
 *
 * Anything that can fail returns int: 0 or a count for success, -1 with *err filled.
 * error_set() and its relatives return -1, so that a failure is one line:
 *
 *	return error_set(err, ERR_NOT_FOUND, "volume '%s' does not exist", id);
 *
 * struct error is a plain value on the caller's stack and owns nothing. err may be NULL
 * where the caller does not care.
 */
#ifndef COMMON_ERROR_H
#define COMMON_ERROR_H

#include <stdbool.h>

/* The names of the codes (error_code_name) are stable: they are stored in
 * drover.operation.error_code and shown by --json. */
enum error_code {
	ERR_NONE = 0,
	ERR_INTERNAL, /* our own mistake */
	ERR_NO_MEMORY,
	ERR_IO, /* a system call on a file, device or socket failed */
	ERR_NO_SPACE, /* the disk or the pool is full */
	ERR_CONFIG, /* the configuration is wrong */
	ERR_USAGE, /* the command line is wrong */
	ERR_INVALID_INPUT, /* a message, row or argument is malformed */
	ERR_NOT_SUPPORTED, /* a known request that this service does not serve */
	ERR_UNKNOWN_METHOD, /* an RPC method nobody knows */
	ERR_UNSUPPORTED_VERSION, /* an RPC version we do not speak */
	ERR_DATABASE, /* the database refused a statement */
	ERR_DB_UNAVAILABLE, /* no connection to the database now; try again later */
	ERR_DB_UNKNOWN, /* a COMMIT whose outcome is unknown: read the rows */
	ERR_DB_RETRY, /* deadlock, lock time-out: run the transaction again */
	ERR_BROKER, /* no connection to the broker now, or it did not confirm */
	ERR_UNROUTABLE, /* the broker has no queue for the message */
	ERR_TIMEOUT,
	ERR_VOLUME_NOT_FOUND,
	ERR_INVALID_VOLUME, /* the volume's state forbids the request */
	ERR_SNAPSHOT_NOT_FOUND,
	ERR_INVALID_SNAPSHOT, /* the snapshot's state forbids the request */
	ERR_SNAPSHOT_BUSY, /* something reads it just now */
	ERR_INVALID_HOST, /* the target is unknown, down, disabled, the same ... */
	ERR_NO_VALID_BACKEND, /* no pool can take the volume */
	ERR_NOT_FOUND, /* any other thing that does not exist */
	ERR_AMBIGUOUS, /* a name that several things have */
	ERR_EXISTS, /* an object of that name is there and is not ours */
	ERR_BACKEND, /* the storage failed */
	ERR_COMPUTE, /* Compute refused or failed; its own words */
	ERR_MISMATCH, /* what was read back is not what was written */
	ERR_CANCELLED, /* an operator asked for it */
	ERR_FENCED, /* another worker has taken over */
	ERR_LOST, /* the connection to a server ended, or could not be made; try again */
	ERR_ATTACHMENT_NOT_FOUND,
	ERR_ATTACH_MODE, /* to be attached for writing, but it is read-only */
	ERR_INVALID_UUID,
	ERR_CODE_COUNT
};

#define ERROR_TEXT_SIZE 768

struct error {
	enum error_code code;
	int errnum; /* errno, 0 if there was none */
	char text[ERROR_TEXT_SIZE]; /* one line, no full stop; cut when too long */
};

/* Fill *err. All return -1. Control characters in the text become '?'. */
int error_set(struct error *err, enum error_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* The same, and adds ": " and the text of errno. ENOSPC and EDQUOT turn code ERR_IO and
 * ERR_BACKEND into ERR_NO_SPACE. */
int error_set_errno(struct error *err, enum error_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));
/* Put "what: " in front of the text of *err. */
int error_context(struct error *err, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
int error_no_memory(struct error *err);

void error_clear(struct error *err);

/* "invalid_volume" for ERR_INVALID_VOLUME. */
const char *error_code_name(enum error_code code);
/* ERR_INTERNAL for a name nobody knows. */
enum error_code error_code_from_name(const char *name);

#endif
