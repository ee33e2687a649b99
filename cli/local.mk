# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += cli/libcli.a
cli_libcli_a_SOURCES = \
	cli/attach.c \
	cli/cli.c cli/cli.h \
	cli/database.c \
	cli/doctor.c \
	cli/exports.c \
	cli/fields.c cli/fields.h \
	cli/garbage.c \
	cli/migrate.c \
	cli/migrations.c \
	cli/options.c cli/options.h \
	cli/progress.c cli/progress.h \
	cli/rate.c cli/rate.h \
	cli/resolve.c \
	cli/services.c \
	cli/show.c cli/show.h \
	cli/table.c cli/table.h \
	cli/verbs.h \
	cli/versioned.c cli/versioned.h \
	cli/volumes.c \
	cli/watch.c cli/watch.h

bin_PROGRAMS += cli/drover
cli_drover_SOURCES = cli/main.c
cli_drover_LDADD = cli/libcli.a $(COMMON_LIBS)
