"""Listening sockets that outlive the process: pass them to systemd, and take them over from it."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from camiohookd.config.values import Address
from camiohookd.daemon.sockets import Sockets
from tests.support.daemon_process import free_port

LOW_PORT = """
import os
from camiohookd.config.values import Address
from camiohookd.daemon.sockets import check_address
from camiohookd.errors import CamiohookdError
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    check_address(Address("127.0.0.1:443"), "hook.listen")
except CamiohookdError as error:
    print(error)
"""
TAKER = """
import os, sys
os.environ["LISTEN_PID"] = str(os.getpid())
from camiohookd.daemon.sockets import Sockets
from camiohookd.config.values import Address
sockets = Sockets()
bound = sockets.listen("hook", Address(sys.argv[1]), "hook.listen")
print(*sorted("{}:{}".format(*each.getsockname()[:2]) for each in bound), os.get_inheritable(bound[0].fileno()))
bound[0].setblocking(True)
client, _ = bound[0].accept()
client.sendall(b"served")
"""


def may_bind_low_ports() -> bool:
    return int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text()) < 1024


@pytest.mark.skipif(may_bind_low_ports(), reason="NOT TESTED: on this machine any user may bind ports under 1024")
def test_names_the_drop_in_for_a_port_under_1024() -> None:
    done = subprocess.run([sys.executable, "-c", LOW_PORT], capture_output=True, text=True, check=True)
    assert "(hook.listen): Permission denied. Ports under 1024 need a drop-in for the service" in done.stdout
    assert "/usr/share/camiohookd/low-ports.conf" in done.stdout


@pytest.fixture
def notices(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        receiver.settimeout(10)
        yield receiver


def received(notices: socket.socket) -> tuple[str, list[socket.socket]]:
    message, files, _, _ = socket.recv_fds(notices, 4096, 8)
    return message.decode(), [socket.socket(fileno=file) for file in files]


def environ(notices: socket.socket) -> dict[str, str]:
    return os.environ | {"NOTIFY_SOCKET": notices.getsockname()}


def start_taker(address: str, kept: list[socket.socket], notices: socket.socket) -> "subprocess.Popen[str]":
    """Start a process that inherits `kept` as descriptors 3, 4, ..., as from systemd."""
    numbers = [each.fileno() for each in kept]
    moves = " ".join(f"{3 + nth}<&{number}-" for nth, number in enumerate(numbers) if number != 3 + nth) or "3<&3"
    return subprocess.Popen(
        ["bash", "-c", f'exec {moves}; exec "$@"', "-", sys.executable, "-c", TAKER, address],
        env=environ(notices) | {"LISTEN_FDS": str(len(kept)), "LISTEN_FDNAMES": ":".join(["hook"] * len(kept))},
        pass_fds=numbers,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_passes_new_sockets_to_systemd_to_keep(notices: socket.socket) -> None:
    address = Address(f"127.0.0.1:{free_port()}")
    (bound,) = Sockets(environ(notices)).listen("hook", address, "hook.listen")
    message, (kept,) = received(notices)
    assert message == "FDSTORE=1\nFDNAME=hook"
    assert kept.getsockname() == bound.getsockname()
    bound.close()
    kept.close()


def test_serves_a_connection_made_between_two_runs_in_the_second(notices: socket.socket) -> None:
    address = Address(f"127.0.0.1:{free_port()}")
    (bound,) = Sockets(environ(notices)).listen("hook", address, "hook.listen")
    _, kept = received(notices)
    bound.close()  # the first run has ended in any way
    with (
        socket.create_connection((address.host, address.port), timeout=10) as client,
        start_taker(address, kept, notices) as taker,
    ):
        assert client.recv(10) == b"served"
        assert taker.stdout is not None
        assert taker.stdout.read() == f"{address} False\n"
    kept[0].close()


def test_replaces_a_kept_socket_of_another_address(notices: socket.socket) -> None:
    old, new = Address(f"127.0.0.1:{free_port()}"), Address(f"127.0.0.1:{free_port()}")
    (bound,) = Sockets(environ(notices)).listen("hook", old, "hook.listen")
    _, kept = received(notices)
    bound.close()
    with start_taker(new, kept, notices) as taker:
        assert received(notices)[0] == "FDSTOREREMOVE=1\nFDNAME=hook"
        message, again = received(notices)
        assert message == "FDSTORE=1\nFDNAME=hook"
        assert again[0].getsockname()[1] == new.port
        with socket.create_connection((new.host, new.port), timeout=10) as client:
            assert client.recv(10) == b"served"
        assert taker.wait(10) == 0
    for each in (*kept, *again):
        each.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((old.host, old.port), timeout=10)


def test_a_port_is_taken_over_from_another_address_as_soon_as_systemd_lets_it_go(notices: socket.socket) -> None:
    everywhere = Address(f"0.0.0.0:{free_port()}")
    here = Address(f"127.0.0.1:{everywhere.port}")
    (bound,) = Sockets(environ(notices)).listen("hook", everywhere, "hook.listen")
    _, kept = received(notices)
    bound.close()
    with start_taker(here, kept, notices) as taker:
        assert received(notices)[0] == "FDSTOREREMOVE=1\nFDNAME=hook"
        for each in kept:
            each.close()
        message, again = received(notices)
        assert message == "FDSTORE=1\nFDNAME=hook"
        assert again[0].getsockname() == (here.host, here.port)
        with socket.create_connection((here.host, here.port), timeout=10) as client:
            assert client.recv(10) == b"served"
        assert taker.wait(10) == 0
    for each in again:
        each.close()


def test_ignores_sockets_for_another_process(notices: socket.socket) -> None:
    meant = environ(notices) | {"LISTEN_PID": "1", "LISTEN_FDS": "1", "LISTEN_FDNAMES": "hook"}
    (bound,) = Sockets(meant).listen("hook", Address("127.0.0.1:0"), "hook.listen")
    message, (copy,) = received(notices)
    assert message == "FDSTORE=1\nFDNAME=hook"
    bound.close()
    copy.close()
