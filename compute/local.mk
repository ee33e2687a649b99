# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += compute/libcompute.a
compute_libcompute_a_SOURCES = \
	compute/answer.c compute/answer.h \
	compute/attach.c \
	compute/connection.c \
	compute/disk.c compute/disk.h \
	compute/domain.c compute/domain.h \
	compute/host.c compute/host.h \
	compute/jobs.c compute/jobs.h \
	compute/location.c compute/location.h \
	compute/methods.c \
	compute/orders.c compute/orders.h \
	compute/service.c compute/service.h \
	compute/swap.c compute/swap.h \
	compute/swap_file.c \
	compute/swap_run.c \
	compute/swaps.c compute/swaps.h
compute_libcompute_a_CPPFLAGS = $(AM_CPPFLAGS) $(LIBVIRT_CFLAGS) $(XML_CFLAGS)

# Shares of guests are mounted as those of backends are.
COMPUTE_LIBS = compute/libcompute.a volume-manager/libbackend.a copy/libcopy.a \
	$(COMMON_LIBS) $(LIBVIRT_LIBS) $(XML_LIBS) -lpthread

sbin_PROGRAMS += compute/drover-compute
compute_drover_compute_SOURCES = compute/main.c
compute_drover_compute_CPPFLAGS = $(AM_CPPFLAGS) $(LIBVIRT_CFLAGS) $(XML_CFLAGS)
compute_drover_compute_LDADD = $(COMPUTE_LIBS)
