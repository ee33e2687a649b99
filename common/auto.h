/* SPDX-License-Identifier: Apache-2.0 */
/* auto.h - values that clean up after themselves.
 *
 *	AUTO(PQclear) PGresult *rows = NULL;
 *
 * runs PQclear(rows) when rows leaves scope, on every path. DEFINE_AUTO makes a type's
 * destructor usable so; destructors accept NULL and half-built objects. steal() hands a
 * pointer on and leaves NULL behind.
 */
#ifndef COMMON_AUTO_H
#define COMMON_AUTO_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define AUTO(function) __attribute__((cleanup(auto_##function)))

#define DEFINE_AUTO(type, function) \
	static inline __attribute__((unused)) void auto_##function(type *p) \
	{ \
		if (*p) \
			function(*p); \
	}

#define steal(p) \
	__extension__({ \
		__typeof__(p) stolen_ = (p); \
		(p) = NULL; \
		stolen_; \
	})

/* For char * and other plain malloc'd memory: AUTO(free). */
static inline __attribute__((unused)) void auto_free(void *p)
{
	free(*(void **)p);
}

/* For descriptors, -1 when there is none: AUTO(fd) int fd = -1. */
static inline __attribute__((unused)) void auto_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline int steal_fd(int *fd)
{
	int stolen = *fd;

	*fd = -1;
	return stolen;
}

DEFINE_AUTO(FILE *, fclose)

#define container_of(pointer, type, member) \
	((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

#endif
