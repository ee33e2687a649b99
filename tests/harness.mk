# SPDX-License-Identifier: Apache-2.0
# What ./check asks of make, and the tests that are not C.
print-integration:
	@echo $(integration_tests)
.PHONY: print-integration

EXTRA_DIST += \
	tests/harness/cloud.py \
	tests/harness/demo.py \
	tests/harness/faulty_disk.py \
	tests/harness/hosts.py \
	tests/harness/life.py \
	tests/harness/network.py \
	tests/harness/packages.sh \
	tests/harness/nbd_load.py \
	tests/harness/nfs_cloud.py \
	tests/harness/peer.py \
	tests/harness/processes.py \
	tests/harness/relay.py \
	tests/harness/scheduler_lab.py \
	tests/harness/servers.py \
	tests/harness/tally.py \
	tests/harness/two_hosts.py \
	tests/hosts/conftest.py \
	tests/hosts/test_broker.py \
	tests/hosts/test_cut.py \
	tests/hosts/test_failover.py \
	tests/hosts/test_kill.py \
	tests/hosts/test_lost.py \
	tests/hosts/test_stop.py \
	tests/scenarios/conftest.py \
	tests/scenarios/test_cli.py \
	tests/scenarios/test_config.py \
	tests/scenarios/test_crash.py \
	tests/scenarios/test_damage.py \
	tests/scenarios/test_exports.py \
	tests/scenarios/test_forward.py \
	tests/scenarios/test_hosts.py \
	tests/scenarios/test_migrate.py \
	tests/scenarios/test_nfs.py \
	tests/scenarios/test_owner.py \
	tests/scenarios/test_refusals.py \
	tests/scenarios/test_service.py \
	tests/scenarios/test_standby.py \
	tests/scenarios/test_life.py \
	tests/scenarios/test_wire.py \
	tests/data/wire/README.md \
	tests/data/wire/scheduler-create_volume.json \
	tests/data/wire/scheduler-get_pools.json \
	tests/data/wire/scheduler-migrate_volume.json \
	tests/data/wire/volume-attach_volume.json \
	tests/data/wire/volume-create_snapshot.json \
	tests/data/wire/volume-create_volume.json \
	tests/data/wire/volume-delete_snapshot.json \
	tests/data/wire/volume-delete_volume.json \
	tests/data/wire/volume-extend_volume.json \
	tests/data/wire/volume-get_capabilities.json \
	tests/data/wire/volume-initialize_connection.json \
	tests/data/wire/volume-migrate_volume.json \
	tests/data/wire/volume-terminate_connection.json
