# SPDX-License-Identifier: Apache-2.0
noinst_LIBRARIES += common/libcommon.a
common_libcommon_a_SOURCES = \
	common/auto.h \
	common/error.c common/error.h \
	common/fault.c common/fault.h \
	common/log.c common/log.h
common_libcommon_a_SOURCES += \
	common/loop.c common/loop.h
common_libcommon_a_SOURCES += \
	common/db.c common/db.h
common_libcommon_a_SOURCES += \
	common/text.c common/text.h \
	common/json.c common/json.h
common_libcommon_a_SOURCES += \
	common/store/schema.c common/store/schema.h
common_libcommon_a_SOURCES += common/conf.c common/conf.h
