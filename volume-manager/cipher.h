/* SPDX-License-Identifier: Apache-2.0 */
/* cipher.h - which cipher copies between hosts use. */
#ifndef VOLUME_MANAGER_CIPHER_H
#define VOLUME_MANAGER_CIPHER_H

/* For workers and export servers that are started from now on: AES where the processor has
 * it. A configuration of GnuTLS that this host has counts in its stead. Once, in main(). */
void cipher_prefer_fast(void);

#endif
