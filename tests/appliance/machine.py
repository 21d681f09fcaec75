"""Boot a root folder with systemd-nspawn, as a machine whose first process is systemd.

root folder ─▶ `boot` ─▶ commands, the journal, its network, reboots ─▶ `power_off`

This needs root on the host, which may itself run without systemd. The machine's network has only its own loopback. Its
control groups are in a hierarchy that is mounted for it alone.
"""

import ctypes
import os
import re
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

PATIENCE = 90.0
"""Seconds after which a wait fails."""

REBOOTED = 133  # nspawn's exit status when the machine asks for a reboot
ENVIRON = ("PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=/root", "LANG=C.UTF-8")
# Mount cgroup2, because the host may use the version 1 hierarchies. Make a group for each machine, because nspawn uses
# the same names in every one. CAP_BPF and the bpf system call make DevicePolicy and IPAddressDeny work inside.
NSPAWN = """
umount --recursive /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir --parents "/sys/fs/cgroup/$1" /run/systemd/nspawn
mount -t tmpfs tmpfs /run/systemd/nspawn
echo $$ >"/sys/fs/cgroup/$1/cgroup.procs"
exec systemd-nspawn --quiet --boot --directory="$2" --machine="$1" --register=no --keep-unit --link-journal=no \
  --private-network --console=pipe --notify-ready=yes --resolv-conf=off --timezone=off \
  --capability=CAP_BPF,CAP_NET_ADMIN,CAP_PERFMON --system-call-filter=bpf "${@:3}"
"""
NEW_NETWORK = 0x40000000  # CLONE_NEWNET, linux/sched.h; os.setns needs Python 3.12
PRIVATE_MOUNTS = ("unshare", "--mount", "--propagation=private")
_libc = ctypes.CDLL(None, use_errno=True)


class MachineError(AssertionError):
    """A command failed in a machine, or the machine did not boot; the text holds its output."""


class Machine:
    """A machine with the root folder `root`; `options` go to systemd-nspawn. ``with`` boots it and powers it off."""

    def __init__(self, root: Path, *options: str) -> None:
        self.root = root
        self.name = f"camiohookd-{os.getpid()}-{threading.get_native_id()}-{id(self) & 0xFFFFFF:x}"
        self.console = root.with_name(f"{root.name}.console")
        self.leader = 0
        self.boot_seconds = 0.0
        self._options = options

    def __enter__(self) -> Self:
        self.boot()
        return self

    def __exit__(self, *_: object) -> None:
        self.power_off()

    def boot(self) -> None:
        began = time.monotonic()
        notices = self.root.with_name(f"{self.root.name}.notify")
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
            listener.bind(str(notices))
            listener.settimeout(PATIENCE)
            with self.console.open("ab") as console:
                self._process = subprocess.Popen(
                    [*PRIVATE_MOUNTS, "bash", "-euc", NSPAWN, "bash", self.name, str(self.root), *self._options],
                    env={**os.environ, "NOTIFY_SOCKET": str(notices)},
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    start_new_session=True,
                )
            self._wait_until_booted(listener)
        notices.unlink()
        self.boot_seconds = time.monotonic() - began

    def reboot(self) -> None:
        """Reboot the machine. It gets a new network."""
        self.run("systemctl", "reboot")
        if (status := self._process.wait(PATIENCE)) != REBOOTED:
            raise MachineError(f"{self.root.name} ended with {status} and does not boot again: {self._said()}")
        os.close(self._first_process)
        self.boot()

    def power_off(self) -> None:
        """Use systemctl, because nspawn's signal does not reach an emulated machine; kill it if that fails."""
        if self._process.poll() is None:
            with suppress(subprocess.TimeoutExpired):
                self.run("systemctl", "--no-block", "poweroff", check=False)
                self._process.wait(PATIENCE)
            with suppress(ProcessLookupError):
                signal.pidfd_send_signal(
                    self._first_process, signal.SIGKILL
                )  # the machine's first process may outlive nspawn
            self._process.kill()
        self._process.wait()
        os.close(self._first_process)

    def cut_power(self) -> None:
        """End every process at once, as a power cut does; `boot` starts the machine again with its disk as it was."""
        signal.pidfd_send_signal(self._first_process, signal.SIGKILL)
        self._process.kill()
        self._process.wait()
        os.close(self._first_process)

    def run(
        self, *command: str | Path, check: bool = True, stdin: str = "", timeout: float = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a command in the machine as root. With `check`, raise MachineError with its output if it fails."""
        done = subprocess.run(
            [*self.enter(), *command],
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout,
        )
        if check and done.returncode != 0:
            raise MachineError(f"{' '.join(map(str, command))}: {done.returncode}\n{done.stdout}{done.stderr}")
        return done

    def output(self, *command: str | Path) -> str:
        return self.run(*command).stdout

    def enter(self) -> list[str]:
        """Return a command prefix for this host: the command that follows it runs in the machine."""
        return ["nsenter", f"--target={self.leader}", "--all", "env", "--ignore-environment", *ENVIRON]

    def properties(self, unit: str) -> dict[str, str]:
        """Return the properties that systemd shows of a unit."""
        lines = self.output("systemctl", "show", unit).splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        file = self.path(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        file.chmod(mode)

    def path(self, inside: str) -> Path:
        """Return the path on the host of `inside`, an absolute path in the machine."""
        return self.root / inside.lstrip("/")

    @contextmanager
    def network(self) -> Iterator[None]:
        """Move this thread, and the threads that it starts in the block, into the machine's network."""
        with Path("/proc/thread-self/ns/net").open() as ours, Path(f"/proc/{self.leader}/ns/net").open() as its:
            _enter_network(its.fileno())
            try:
                yield
            finally:
                _enter_network(ours.fileno())

    def _said(self) -> str:
        return self.console.read_text(errors="replace")

    def _wait_until_booted(self, listener: socket.socket) -> None:
        """Read nspawn's messages (sd_notify(3)): first the process ID of the machine's init, later READY."""
        said = ""
        while not re.search("^READY=1$", said, re.MULTILINE):
            try:
                said = listener.recv(4096).decode()
            except TimeoutError:
                self._process.kill()
                raise MachineError(f"{self.root.name} does not boot:\n{self._said()}") from None
            if found := re.search(r"^X_NSPAWN_LEADER_PID=(\d+)$", said, re.MULTILINE):
                self.leader = int(found[1])
                self._first_process = os.pidfd_open(self.leader)


def _enter_network(namespace: int) -> None:
    if _libc.setns(namespace, NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "setns")


def wait_until(holds: Callable[[], object], what: str | Callable[[], str], patience: float = PATIENCE) -> None:
    """Return as soon as `holds()` is true; raise MachineError with `what` if that takes too long."""
    ends = time.monotonic() + patience
    while not holds():
        if time.monotonic() > ends:
            raise MachineError(f"not within {patience:g} s: {what if isinstance(what, str) else what()}")
        time.sleep(0.1)
