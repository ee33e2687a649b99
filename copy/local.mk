# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += copy/libcopy.a
copy_libcopy_a_SOURCES = \
	copy/copy.c copy/copy.h \
	copy/digest.c copy/digest.h \
	copy/pace.c copy/pace.h \
	copy/side.c copy/side.h \
	copy/verify.c \
	copy/window.c copy/window.h
COPY_LIBS = copy/libcopy.a $(XXHASH_LIBS) -lpthread
