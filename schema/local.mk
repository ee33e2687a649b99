# SPDX-License-Identifier: Apache-2.0
# The SQL files become part of the programs. A new one is added at the end, never changed
# after its release.
schema_files = \
	schema/0001-cinder.sql \
	schema/0002-drover.sql \
	schema/0003-life.sql \
	schema/0004-attach.sql \
	schema/0007-migration.sql \
	schema/0008-compute.sql \
	schema/0009-hypervisors.sql \
	schema/0010-pace.sql

nodist_common_libcommon_a_SOURCES = schema/embedded.c
CLEANFILES += schema/embedded.c
EXTRA_DIST += $(schema_files) schema/embed.sh

schema/embedded.c: $(schema_files) schema/embed.sh
	$(AM_V_GEN)$(MKDIR_P) schema && \
	(cd $(srcdir) && $(SHELL) schema/embed.sh $(schema_files)) >$@-t && \
	mv $@-t $@
