# SPDX-License-Identifier: Apache-2.0
"""Servers with rules of their own, that are slow, that take few clients, that want to know
who asks: what they allow is done, what they refuse is said."""
import os

import pytest

from endpoints import Keys, QemuNbd
from fixtures import SOON, VOLUME
from fixtures import old, source  # noqa: F401
from shapes import MIB, OLD, SHAPES, Shape, copy, write_old

RULES = {
    "min-4K": ["blocksize-minimum=4096", "blocksize-preferred=4096",
               "blocksize-maximum=32M"],
    "min-64K": ["blocksize-minimum=64K", "blocksize-preferred=64K",
                "blocksize-maximum=32M"],
    "max-64K": ["blocksize-minimum=1", "blocksize-preferred=4096", "blocksize-maximum=64K"],
    "only-4K": ["blocksize-minimum=4096", "blocksize-preferred=4096",
                "blocksize-maximum=4096"],
}


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("rule", RULES)
def test_block_sizes_of_a_server_are_kept(rule, side, serve, source, old):
    """Whoever breaks them is refused."""
    server = serve("--filter=blocksize-policy", "file", source if side == "source" else old,
                   *RULES[rule], "blocksize-error-policy=error")
    ends = (server.uri(), old) if side == "source" else (source, server.uri())
    copy(*ends, within=SOON).must_succeed()
    VOLUME.must_be_in(old)


@pytest.mark.parametrize("side", ["source", "target"])
@pytest.mark.parametrize("rule", RULES)
def test_blocks_are_kept_where_extents_are_smaller(rule, side, serve, place):
    """What is data and what is not changes within blocks of the server."""
    shape = SHAPES["scattered"].padded(64 << 10)
    source = shape.write(os.path.join(place, "source"))
    target = write_old(os.path.join(place, "target"), shape.size)
    server = serve("--filter=blocksize-policy", "file", source if side == "source" else target,
                   *RULES[rule], "blocksize-error-policy=error")
    ends = (server.uri(), target) if side == "source" else (source, server.uri())
    copy(*ends, "--retry=0", within=SOON).must_succeed()
    shape.must_be_in(target)


@pytest.mark.parametrize("size", [1, 2 * MIB + 777, 2 * MIB + 4096])
def test_volume_that_fills_no_block_of_the_target(size, serve, place):
    """Nothing is written beyond it: it is copied or refused."""
    shape = Shape("tail", size, [(0, size, True)])
    source = shape.write(os.path.join(place, "source"))
    target = write_old(os.path.join(place, "target"), 3 * MIB)
    server = serve("--filter=blocksize-policy", "file", target, *RULES["min-64K"],
                   "blocksize-error-policy=error")
    done = copy(source, server.uri(), "--retry=0", within=SOON)
    if done.status == 0:
        shape.must_be_in(target, OLD)
    else:
        done.must_fail("target", "block", "65536")


@pytest.mark.parametrize("verify", ["readback", "none"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_server_of_one_client(side, verify, serve, source, old):
    """It does not offer multi-conn, and refuses a second connection."""
    server = serve("--filter=limit", "--filter=multi-conn", "file",
                   source if side == "source" else old, "limit=1",
                   "multi-conn-mode=disable")
    ends = (server.uri(), old) if side == "source" else (source, server.uri())
    copy(*ends, "--retry=0", f"--verify={verify}", within=SOON).must_succeed()
    VOLUME.must_be_in(old)


@pytest.mark.parametrize("name", ["scattered", "random", "nothing-but-a-hole"])
def test_new_target_of_a_server_of_one_client(name, serve, place):
    """What was promised to be zeroes is so only until it was written."""
    shape = SHAPES[name]
    source = shape.write(os.path.join(place, "source"))
    target = os.path.join(place, "target")
    with open(target, "wb") as f:
        f.truncate(shape.size)
    server = serve("--filter=limit", "--filter=multi-conn", "file", target, "limit=1",
                   "multi-conn-mode=disable")
    copy(source, server.uri(), "--retry=0", "--target-is-zero", "--checkpoint-bytes=4M",
         within=SOON).must_succeed()
    shape.must_be_in(target)


@pytest.mark.parametrize("verify", ["readback", "none"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_qemu_nbd_as_it_is_by_itself(side, verify, place, closing, source, old):
    """One client at a time; a second one is left waiting."""
    server = closing(QemuNbd(place, source if side == "source" else old))
    ends = (server.uri(), old) if side == "source" else (source, server.uri())
    copy(*ends, "--retry=0", "--deadline=3", f"--verify={verify}",
         within=SOON).must_succeed()
    server.close()
    VOLUME.must_be_in(old)


@pytest.mark.parametrize("side", ["source", "target"])
def test_server_without_multi_conn(side, serve, source, old):
    server = serve("--filter=multi-conn", "file", source if side == "source" else old,
                   "multi-conn-mode=disable")
    ends = (server.uri(), old) if side == "source" else (source, server.uri())
    copy(*ends, within=SOON).must_succeed()
    VOLUME.must_be_in(old)


@pytest.mark.parametrize("side", ["source", "target"])
def test_slow_server_is_waited_for(side, serve, source, old):
    server = serve("--filter=delay", "file", source if side == "source" else old,
                   "rdelay=300ms", "wdelay=300ms")
    ends = (server.uri(), old) if side == "source" else (source, server.uri())
    copy(*ends, "--deadline=5", within=SOON).must_succeed()
    VOLUME.must_be_in(old)


def test_server_that_cannot_be_written(serve, source, old):
    server = serve("-r", "file", old)
    copy(source, server.uri(), within=SOON).must_fail(
        "target", "read.only|cannot be written")
    with open(old, "rb") as f:
        assert f.read() == bytes([OLD]) * VOLUME.size


@pytest.mark.parametrize("tls", ["psk", "x509"])
@pytest.mark.parametrize("side", ["source", "target"])
def test_foreign_keys_are_refused(side, tls, serve, place, source, old):
    homes = [os.path.join(place, name) for name in ("ours", "theirs")]
    for home in homes:
        os.mkdir(home)
    ours, theirs = (Keys(home) for home in homes)
    server = serve("file", source if side == "source" else old, tcp=True, tls=tls, keys=ours)
    for uri in (server.uri().replace(homes[0], homes[1]),
                f"nbd://127.0.0.1:{server.port}/"):
        ends = (uri, old) if side == "source" else (source, uri)
        copy(*ends, within=SOON).must_fail(side)
    with open(old, "rb") as f:
        assert f.read() == bytes([OLD]) * VOLUME.size
    ends = (server.uri(), old) if side == "source" else (source, server.uri())
    copy(*ends, within=SOON).must_succeed()
    VOLUME.must_be_in(old)
