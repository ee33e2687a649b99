# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += scheduler/libscheduler.a
scheduler_libscheduler_a_SOURCES = \
	scheduler/capacity.c scheduler/capacity.h \
	scheduler/create.c \
	scheduler/extend.c \
	scheduler/filters.c \
	scheduler/methods.c \
	scheduler/migrate.c \
	scheduler/placement.c scheduler/placement.h \
	scheduler/policy.c scheduler/policy.h \
	scheduler/pools.c scheduler/pools.h \
	scheduler/report.c scheduler/report.h \
	scheduler/request.c scheduler/scheduler.h \
	scheduler/retype.c \
	scheduler/service.c scheduler/service.h \
	scheduler/services.c \
	scheduler/snapshot.c \
	scheduler/specs.c scheduler/specs.h \
	scheduler/weighers.c

SCHEDULER_LIBS = scheduler/libscheduler.a $(COMMON_LIBS)

sbin_PROGRAMS += scheduler/drover-scheduler
scheduler_drover_scheduler_SOURCES = scheduler/main.c
scheduler_drover_scheduler_LDADD = $(SCHEDULER_LIBS)
