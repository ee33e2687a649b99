# SPDX-License-Identifier: Apache-2.0
check_PROGRAMS += tests/unit/test_envelope tests/unit/test_suspects \
	tests/integration/rpc_peer
TESTS += tests/unit/test_envelope tests/unit/test_suspects
integration_tests += tests/integration/test_rpc
EXTRA_DIST += \
	tests/data/rpc-call.json \
	tests/data/rpc-failure.json \
	tests/integration/rpc_peers.py \
	tests/integration/test_broker_faults.py \
	tests/integration/test_rpc_python.py

tests_unit_test_envelope_SOURCES = tests/unit/test_envelope.c
tests_unit_test_envelope_LDADD = $(UNIT_LIBS)
tests_unit_test_suspects_SOURCES = tests/unit/test_suspects.c tests/unit/scratch.h
tests_unit_test_suspects_LDADD = $(UNIT_LIBS)
tests_integration_test_rpc_SOURCES = tests/integration/test_rpc.c
tests_integration_test_rpc_LDADD = $(UNIT_LIBS)
tests_integration_rpc_peer_SOURCES = tests/integration/rpc_peer.c
tests_integration_rpc_peer_LDADD = $(COMMON_LIBS)
