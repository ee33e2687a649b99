# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += copy/libcopy.a
copy_libcopy_a_SOURCES = \
	copy/carry.c copy/carry.h \
	copy/cipher.c copy/cipher.h \
	copy/copy.c copy/copy.h \
	copy/digest.c copy/digest.h \
	copy/digest_parts.c copy/digest_parts.h \
	copy/end.c copy/end.h \
	copy/end_path.c \
	copy/end_server.c \
	copy/end_writer.c copy/end_writer.h \
	copy/endpoint.c \
	copy/fifo.h \
	copy/file_io.h \
	copy/lane.c copy/lane.h \
	copy/pace.c copy/pace.h \
	copy/pool.c \
	copy/read_back.c \
	copy/remote.c copy/remote.h \
	copy/remote_connect.c \
	copy/remote_map.c \
	copy/ring.c \
	copy/scan.c copy/scan.h \
	copy/side.c copy/side.h \
	copy/slot.c copy/slot.h \
	copy/verify.c \
	copy/window.c copy/window.h \
	copy/window_remote.c
copy_libcopy_a_CPPFLAGS = $(AM_CPPFLAGS) $(NBD_CFLAGS) $(URING_CFLAGS)
copy_libcopy_a_LIBADD =
EXTRA_copy_libcopy_a_DEPENDENCIES = $(copy_libcopy_a_LIBADD)

# The same once more, for processors that have more.
if HAVE_AVX2_TOO
noinst_LIBRARIES += copy/libdigest_avx2.a
copy_libdigest_avx2_a_SOURCES = copy/digest_parts.c
copy_libdigest_avx2_a_CPPFLAGS = $(AM_CPPFLAGS) -DFOR_AVX2
copy_libdigest_avx2_a_CFLAGS = $(AM_CFLAGS) -mavx2
copy_libcopy_a_LIBADD += $(copy_libdigest_avx2_a_OBJECTS)
endif

COPY_LIBS = copy/libcopy.a $(XXHASH_LIBS) $(NBD_LIBS) $(URING_LIBS) -lpthread

# The command.
noinst_LIBRARIES += copy/libcommand.a
copy_libcommand_a_SOURCES = \
	copy/bar.c copy/bar.h \
	copy/checkpoint_file.c copy/checkpoint_file.h \
	copy/checkpoint_text.c \
	copy/command.c copy/command.h \
	copy/control_fd.c copy/control_fd.h \
	copy/ends.c copy/ends.h \
	copy/events.c copy/events.h \
	copy/job.c copy/job.h \
	copy/summary.c copy/summary.h

bin_PROGRAMS += copy/drover-copy
copy_drover_copy_SOURCES = copy/main.c
copy_drover_copy_LDADD = copy/libcommand.a $(COPY_LIBS) $(COMMON_LIBS)
