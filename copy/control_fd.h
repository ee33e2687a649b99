/* SPDX-License-Identifier: Apache-2.0 */
/* control_fd.h - orders to a running copy, a line each: "rate 100M", "rate 0", "pause",
 * "continue", "cancel".
 *
 * A thread reads them. A line that is not understood changes nothing. When the other end is
 * closed the copy goes on as it is.
 */
#ifndef COPY_CONTROL_FD_H
#define COPY_CONTROL_FD_H

#include "common/auto.h"
#include "copy/copy.h"

#define CONTROL_LINE_MAX 128 /* bytes; a longer one is not understood */

struct control_fd;

/* fd and control are borrowed until control_fd_stop(). on_order is called in the thread
 * after each line; wrong says why it was not carried out, or is NULL. */
int control_fd_start(int fd, struct copy_control *control,
	void (*on_order)(void *arg, const struct error *wrong), void *arg,
	struct control_fd **out, struct error *err);
void control_fd_stop(struct control_fd *control_fd);
DEFINE_AUTO(struct control_fd *, control_fd_stop)

/* Carry out one line, without its end. ERR_USAGE. */
int control_line(const char *line, struct copy_control *control, struct error *err);

#endif
