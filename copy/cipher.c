/* SPDX-License-Identifier: Apache-2.0 */
/* libnbd and nbdkit leave the choice to GnuTLS. With a pre-shared key in a file that can use
 * SHA-256 ciphers only, and of these GnuTLS (seen with 3.7.9) takes ChaCha20 before
 * AES-128-GCM, which is nine times as fast where the processor has AES. Neither program has
 * an option, so GnuTLS is told by its environment. Both ends know AES, and one that does not
 * offer ChaCha20 is enough. */
#include "copy/cipher.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <unistd.h>
#ifdef __aarch64__
#include <asm/hwcap.h>
#endif

#include "common/auto.h"
#include "common/log.h"
#include "common/text.h"

#define VARIABLE "GNUTLS_SYSTEM_PRIORITY_FILE"
#define FIRST_FD 64 /* out of the way of descriptors that are passed by number */

static const char overrides[] = "[overrides]\n"
				"tls-disabled-cipher = chacha20-poly1305\n";

static bool has_aes(void)
{
#if defined(__x86_64__) || defined(__i386__)
	return __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul");
#elif defined(__aarch64__)
	return getauxval(AT_HWCAP) & HWCAP_AES;
#else
	return false;
#endif
}

/* Debian's file, and where Fedora's crypto-policies are. */
static bool host_has_its_own(void)
{
	static const char *const paths[] = {
		"/etc/gnutls/config",
		"/etc/crypto-policies/back-ends/gnutls.config",
	};

	if (getenv(VARIABLE))
		return true;
	for (size_t i = 0; i < ARRAY_SIZE(paths); i++)
		if (access(paths[i], F_OK) == 0)
			return true;
	return false;
}

/* A file in memory that children inherit: nothing to be kept, nothing to be removed. */
static int make_file(void)
{
	AUTO(fd) int file = memfd_create("gnutls", MFD_CLOEXEC);

	if (file < 0 ||
		write(file, overrides, strlen(overrides)) != (ssize_t)strlen(overrides))
		return -1;
	return fcntl(file, F_DUPFD, FIRST_FD);
}

bool cipher_prefer_fast(void)
{
	char path[40];
	int fd;

	if (!has_aes() || host_has_its_own())
		return false;
	fd = make_file();
	if (fd < 0) {
		log_warning("GnuTLS chooses the cipher: %s", strerror(errno));
		return false;
	}
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	return setenv(VARIABLE, path, 1) == 0;
}
