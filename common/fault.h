/* SPDX-License-Identifier: Apache-2.0 */
/* fault.h - named places where a test may crash, fail or hold the process.
 *
 *	if (fault_point("copy.flushed", err) < 0)
 *		return -1;
 *
 * Does nothing unless built with --enable-faults and DROVER_FAULTS is set:
 * "name=action;name=action", action one of
 *	kill		SIGKILL to this process
 *	fail		error "injected fault at 'name'"
 *	fail:CODE	the same with an error code's name
 *	hold:FILE	make FILE, then wait until FILE.go exists
 * and name may end in "#N": only the N-th time it is passed in this process. An action
 * is taken each time otherwise.
 */
#ifndef COMMON_FAULT_H
#define COMMON_FAULT_H

#include "common/error.h"

#ifdef DROVER_FAULTS
int fault_point(const char *name, struct error *err);
#else
static inline int fault_point(const char *name, struct error *err)
{
	(void)name;
	(void)err;
	return 0;
}
#endif

#endif
