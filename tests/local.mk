# SPDX-License-Identifier: Apache-2.0
# Unit tests need no server. Integration tests are run by tests/harness/servers.py with
# DROVER_TEST_DATABASE and DROVER_TEST_AMQP set, and skip without them.

UNIT_LIBS = $(COMMON_LIBS) $(CMOCKA_LIBS)
integration_tests =

include tests/conf.mk
include tests/rpc.mk
include tests/db.mk
include tests/store.mk
include tests/copy.mk
include tests/scheduler.mk
include tests/manager.mk
include tests/harness.mk
include tests/cli.mk
include tests/model.mk
include tests/compute.mk

check_PROGRAMS += $(integration_tests)
