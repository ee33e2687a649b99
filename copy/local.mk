# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += copy/libcopy.a
copy_libcopy_a_SOURCES = \
	copy/ahead.c copy/ahead.h \
	copy/copy.c copy/copy.h \
	copy/digest.c copy/digest.h \
	copy/endpoint.c \
	copy/pace.c copy/pace.h \
	copy/read_back.c \
	copy/remote.c copy/remote.h \
	copy/remote_connect.c \
	copy/side.c copy/side.h \
	copy/target.c copy/target.h \
	copy/verify.c \
	copy/window.c copy/window.h \
	copy/window_remote.c
copy_libcopy_a_CPPFLAGS = $(AM_CPPFLAGS) $(NBD_CFLAGS)
COPY_LIBS = copy/libcopy.a $(XXHASH_LIBS) $(NBD_LIBS) -lpthread

bin_PROGRAMS += copy/drover-copy
copy_drover_copy_SOURCES = copy/main.c
copy_drover_copy_LDADD = $(COPY_LIBS) $(COMMON_LIBS)
