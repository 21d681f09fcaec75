"""A labeler that tries forbidden and allowed actions, and returns the successful ones as labels."""

import ctypes
import mmap
import os
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

libc = ctypes.CDLL(None, use_errno=True)
NEW_USER = 0x10000000  # CLONE_NEWUSER
STATE = os.environ.get("STATE_DIRECTORY", "/var/lib/camiohookd")


def write(folder: str) -> None:
    file = Path(folder, "probe")
    file.write_text("")
    file.unlink()


def leave(folder: str) -> None:
    """Leave a file that is visible from outside if the sandbox shares the folder."""
    Path(folder, "probe").write_text("")


def make_setuid() -> None:
    file = Path(STATE, "probe")
    file.write_text("")
    try:
        file.chmod(0o4755)
    finally:
        file.unlink()


def become_root() -> None:
    os.setuid(0)


def become_root_by_sudo() -> None:
    subprocess.run(["sudo", "-n", "true"], check=True, capture_output=True)


def list_folder(folder: str) -> None:
    if not list(Path(folder).iterdir()):
        raise OSError("the folder is empty")


def read(file: str) -> None:
    with Path(file).open("rb", buffering=0) as opened:
        opened.read(1)


def open_socket(family: int, kind: int, protocol: int = 0) -> None:
    socket.socket(family, kind, protocol).close()


def run_written_code() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


def call(name: str, *arguments: Any) -> None:
    if getattr(libc, name)(*arguments) != 0:
        raise OSError(ctypes.get_errno(), name)


def see_the_first_process() -> None:
    if not Path("/proc/1").exists():
        raise OSError("hidden")


ATTEMPTS: dict[str, tuple[Any, ...]] = {
    "write the state folder": (write, STATE),
    "write the runtime folder": (write, "/run/camiohookd"),
    "write its own /tmp": (leave, "/tmp"),
    "write its own /var/tmp": (leave, "/var/tmp"),
    "write its own /dev/shm": (leave, "/dev/shm"),
    "open a stream": (open_socket, socket.AF_INET, socket.SOCK_STREAM),
    "read the settings": (read, "/etc/camiohookd/camiohookd.toml"),
    "write /etc": (write, "/etc"),
    "write /etc/camiohookd": (write, "/etc/camiohookd"),
    "write /usr": (write, "/usr"),
    "write /usr/lib/camiohookd": (write, "/usr/lib/camiohookd"),
    "write /var": (write, "/var"),
    "write /var/lib": (write, "/var/lib"),
    "write /var/log": (write, "/var/log"),
    "write /run": (write, "/run"),
    "write /home/owner": (write, "/home/owner"),
    "write /root": (write, "/root"),
    "write /": (write, "/"),
    "list /home": (list_folder, "/home"),
    "read a file in /home": (read, "/home/owner/public"),
    "read a file in /root": (read, "/root/public"),
    "read /etc/shadow": (read, "/etc/shadow"),
    "read the kernel's log": (read, "/dev/kmsg"),
    "see the first process": (see_the_first_process,),
    "open a raw socket": (open_socket, socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
    "open a packet socket": (open_socket, socket.AF_PACKET, socket.SOCK_RAW),
    "open a netlink socket": (open_socket, socket.AF_NETLINK, socket.SOCK_RAW),
    "become root": (become_root,),
    "become root by sudo": (become_root_by_sudo,),
    "make a setuid file": (make_setuid,),
    "run code that it wrote": (run_written_code,),
    "mount": (call, "mount", b"tmpfs", b"/tmp", b"tmpfs", 0, None),
    "make a user namespace": (call, "unshare", NEW_USER),
    "set the clock": (call, "clock_settime", 0, (ctypes.c_long * 2)(0, 0)),
    "set the host's name": (call, "sethostname", b"probe", 5),
}


def succeeded(attempt: Callable[..., None], *arguments: Any) -> bool:
    try:
        attempt(*arguments)
    except (OSError, subprocess.SubprocessError) as error:
        print(attempt.__name__, *arguments[:1], "failed:", error)
        return False
    return True


def compute_labels(images: list[dict[str, Any]]) -> dict[str, Any]:
    could = [name for name, attempt in ATTEMPTS.items() if succeeded(*attempt)]
    return {image["timestamp"]: {name: {"probability": 1.0} for name in could} for image in images}
