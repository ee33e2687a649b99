/* SPDX-License-Identifier: Apache-2.0 */
/* cipher.h - which cipher copies between hosts use. */
#ifndef COPY_CIPHER_H
#define COPY_CIPHER_H

#include <stdbool.h>

/* For programs that are started from now on: AES where the processor has it. False: nothing
 * was changed, also when this host has a configuration of GnuTLS, which counts. Once, in
 * main(). A program that uses GnuTLS itself has read its environment before main(). */
bool cipher_prefer_fast(void);

#endif
