"""Record every packet on all interfaces of the network namespace in which it starts."""

import socket
import struct
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple, Self

EVERY_PROTOCOL = 3  # ETH_P_ALL, linux/if_ether.h
IPV4, TCP, UDP = 0x0800, 6, 17


class Packet(NamedTuple):
    """`ports` holds the source port and the destination port, or nothing if the protocol has no ports."""

    interface: str
    protocol: str
    source: str
    target: str
    ports: tuple[int, ...]


class Sniffer:
    """``with`` starts and stops listening; `packets` holds the packets so far."""

    def __init__(self) -> None:
        self.packets: list[Packet] = []
        self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(EVERY_PROTOCOL))
        self._socket.settimeout(0.2)
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="sniffer")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()
        self._socket.close()

    def _listen(self) -> None:
        while not self._end.is_set():
            try:
                data, (interface, protocol, *_) = self._socket.recvfrom(65536)
            except TimeoutError:
                continue
            self.packets.append(_read(str(interface), int(protocol), data))


@contextmanager
def default_route(leader: int) -> Iterator[None]:
    """Give the machine's network a default route into a virtual cable without a listener, so that packets are sent."""

    def ip(*words: str) -> None:
        subprocess.run(["nsenter", f"--target={leader}", "--net", "ip", *words], check=True)

    ip("link", "add", "outward", "type", "veth", "peer", "name", "nowhere")
    for interface in ("outward", "nowhere"):
        ip("link", "set", interface, "addrgenmode", "none")  # prevents the kernel's own packets
        ip("link", "set", interface, "up")
    ip("address", "add", "192.0.2.2/24", "dev", "outward")
    ip("neighbour", "add", "192.0.2.1", "lladdr", "02:00:00:00:00:01", "dev", "outward", "nud", "permanent")
    ip("route", "add", "default", "via", "192.0.2.1")
    try:
        yield
    finally:
        ip("link", "delete", "outward")


def _read(interface: str, protocol: int, data: bytes) -> Packet:
    """RFC 791, 3.1: the header's length, the protocol and the addresses; ports come first in TCP and UDP."""
    if protocol != IPV4:
        return Packet(interface, f"ethertype {protocol:#06x}", "", "", ())
    length, inner = (data[0] & 0x0F) * 4, data[9]
    source, target = socket.inet_ntoa(data[12:16]), socket.inet_ntoa(data[16:20])
    ports = struct.unpack(">HH", data[length : length + 4]) if inner in (TCP, UDP) else ()
    return Packet(interface, {TCP: "tcp", UDP: "udp"}.get(inner, str(inner)), source, target, ports)
