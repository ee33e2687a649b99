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
common_libcommon_a_SOURCES += \
	common/md5.c common/md5.h \
	common/nfs_shares.c common/nfs_shares.h
common_libcommon_a_SOURCES += common/url.c common/url.h
common_libcommon_a_SOURCES += \
	common/broker.c common/broker.h \
	common/dialer.c common/dialer.h \
	common/envelope.c common/envelope.h \
	common/inbox.c common/inbox.h \
	common/link.c common/link.h \
	common/log-levels.c common/log-levels.h \
	common/publisher.c common/publisher.h \
	common/replies.c common/replies.h \
	common/rpc.c common/rpc.h \
	common/rpc-names.c common/rpc-names.h \
	common/suspects.c common/suspects.h \
	common/rpc_client.c
common_libcommon_a_SOURCES += \
	common/settings.c common/settings.h \
	common/cinder-options.c common/cinder-options.h
common_libcommon_a_SOURCES += \
	common/address.c common/address.h \
	common/phase.c common/phase.h \
	common/store/deletes.c common/store/deletes.h \
	common/store/expired.c common/store/expired.h \
	common/store/messages.c common/store/messages.h \
	common/store/attach.c \
	common/store/attachments.c common/store/attachments.h \
	common/store/connect.c common/store/connect.h \
	common/store/connections.c common/store/connections.h \
	common/store/disconnect.c \
	common/store/exports.c common/store/exports.h \
	common/store/garbage.c common/store/garbage.h \
	common/store/growth.c common/store/growth.h \
	common/store/looks.c common/store/looks.h \
	common/store/migration_list.c common/store/migration_work.c \
	common/store/messages.c common/store/messages.h \
	common/store/migrations.c common/store/migrations.h \
	common/store/moved.c common/store/moved.h \
	common/store/operations.c common/store/operations.h \
	common/store/doctor.c common/store/doctor.h \
	common/store/orphans.c common/store/orphans.h \
	common/store/pace.c common/store/pace.h \
	common/store/peer.c common/store/peer.h \
	common/store/quotas.c common/store/quotas.h \
	common/store/refusals.c common/store/refusals.h \
	common/store/remote.c common/store/remote.h \
	common/store/retype.c common/store/retype.h \
	common/store/snapshot_delete.c \
	common/store/snapshots.c common/store/snapshots.h \
	common/store/sources.c common/store/sources.h \
	common/store/standby.c common/store/standby.h \
	common/store/services.c common/store/services.h \
	common/store/volume_object.c common/store/volume_object.h \
	common/store/types.c common/store/types.h \
	common/store/volumes.c common/store/volumes.h
common_libcommon_a_SOURCES += common/program.c common/program.h
common_libcommon_a_SOURCES += \
	common/store/details.c common/store/details.h \
	common/store/history.c common/store/history.h
common_libcommon_a_SOURCES += \
	common/store/compute.c common/store/compute.h \
	common/store/compute_end.c common/store/migration_parts.h
common_libcommon_a_SOURCES += \
	common/attachment_calls.c common/attachment_calls.h \
	common/hypervisor.c common/hypervisor.h \
	common/store/guests.c common/store/guests.h common/store/swap.c
