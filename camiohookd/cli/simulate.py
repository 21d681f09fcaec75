"""The command that plays Camio against a running daemon.

options ──▶ the key ──▶ pictures ──▶ events ──▶ simulator.session ──▶ simulator.report ──▶ exit status
"""

import asyncio
import math
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from camiohookd.cli.masking import masker
from camiohookd.errors import CamiohookdError, MalformedUrl
from camiohookd.net.urls import Origin, split_url

if TYPE_CHECKING:
    from collections.abc import Iterable

    from camiohookd.camio.simulator.events import SimulatedEvent

FEW_EVENTS = 5
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  # compared with, not bound


class _Number(click.FloatRange):
    """A number within bounds; "nan" and "inf", which are within any, are none."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


@click.command()
@click.option("--url", required=True, metavar="http://HOST:PORT", help="Where the daemon listens, without /tasks/.")
@click.option(
    "--key-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="Read the API key from this file; otherwise it comes from CAMIOHOOKD_HOOK_API_KEY or the configuration.",
)
@click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The daemon's configuration, where the key is.  "
    "[default: camiohookd.toml in $CONFIGURATION_DIRECTORY, else in /etc/camiohookd]",
)
@click.option(
    "--images",
    multiple=True,
    type=click.Path(path_type=Path, exists=True),
    metavar="DIR|FILE...",
    help="Pictures to send: files, and folders of .jpg files.  [default: four bundled photographs]",
)
@click.argument("more_images", nargs=-1, type=click.Path(path_type=Path, exists=True), metavar="")
@click.option(
    "--events",
    type=click.IntRange(min=1, max=1_000_000),
    metavar="N",
    help="How many events to send.  [default: until every picture was sent once]",
)
@click.option(
    "--rate",
    type=_Number(min=0),
    default=0.0,
    metavar="R",
    help="Events a second; 0, the default: as fast as the daemon takes them.",
)
@click.option(
    "--listen",
    default="127.0.0.1:0",
    show_default=True,
    metavar="HOST:PORT",
    help="Where the labels are received; port 0 takes a free one. The daemon must allow it as a callback host.",
)
@click.option(
    "--timeout",
    type=_Number(min=0, min_open=True),
    default=60.0,
    show_default=True,
    metavar="S",
    help="Seconds to wait for the 200 of an event, and then for its labels.",
)
def simulate(
    url: str,
    key_file: Path | None,
    config_file: Path | None,
    images: tuple[Path, ...],
    more_images: tuple[Path, ...],
    events: int | None,
    rate: float,
    listen: str,
    timeout: float,
) -> int:
    """Play Camio: post events to a running daemon, receive their labels, and check every reply against the contract.

    The pictures are taken in turn and cut into events of 4, 1, 2, 3, 4, 1, ... pictures, so the same pictures always
    make the same events. A daemon that answers 503 is asked again after its Retry-After.

    Of the bundled photographs it is known what they show. Where the outline of a known object comes back, it must lie
    on the object, and not upside down. A single object may be missing, but not all of them. Pictures of your own,
    --images, are held against nothing.

    Exit status: 0 if the labels of every event came back valid, 1 if not, or if a picture could not be read; such a
    picture is named, and the others are sent.
    """
    from camiohookd.camio.simulator.events import enough_events, make_events, read_pictures

    if more_images and not images:
        raise click.UsageError("to send pictures of your own, write --images before them")
    origin = _hook_origin(url)
    host, port = _host_and_port(listen)
    key = _key(key_file, config_file)
    pictures, left_out = read_pictures([*images, *more_images])
    for reason in left_out:
        click.echo(f"left out: {reason}", err=True)
    count = events or enough_events(len(pictures))
    hook_url = f"{url.rstrip('/')}/tasks/{key}"
    status = asyncio.run(_run(hook_url, origin, (host, port), make_events(pictures, count), count, rate, timeout))
    return 1 if left_out else status


async def _run(
    hook_url: str,
    hook: Origin,
    listen: tuple[str, int],
    events: "Iterable[SimulatedEvent]",
    count: int,
    rate: float,
    timeout: float,
) -> int:
    from camiohookd.camio.simulator.fake_camio import FakeCamio
    from camiohookd.camio.simulator.report import report
    from camiohookd.camio.simulator.session import Simulation, doubt

    camio = FakeCamio()
    host, port = listen
    try:
        await camio.listen(host, port, _own_address(hook) if host in ANY_ADDRESS else host)
    except OSError as error:
        raise CamiohookdError(f"--listen {host}:{port}: {error.strerror or error}") from None
    try:
        with click.progressbar(
            length=count, label="events", file=sys.stderr, hidden=count <= FEW_EVENTS or not sys.stderr.isatty()
        ) as bar:
            results = await Simulation(camio, hook_url, rate, timeout).run(events, lambda: bar.update(1))
    finally:
        await camio.close()
    mask = masker([hook_url.rpartition("/")[2]])
    doubtful = doubt(results)
    for line in report(results, doubtful, camio.origin):
        click.echo(mask(line))
    return 0 if all(result.valid for result in results) and not doubtful else 1


def _hook_origin(url: str) -> Origin:
    try:
        origin, path = split_url(url)
    except MalformedUrl as error:
        raise click.BadParameter(str(error), param_hint="'--url'") from None
    if "?" in path or "#" in path or "/tasks" in path:
        raise click.BadParameter("it must end before /tasks/, without ? and #", param_hint="'--url'")
    return origin


def _host_and_port(listen: str) -> tuple[str, int]:
    host, _, port = listen.rpartition(":")
    if not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise click.BadParameter('expected HOST:PORT, such as "127.0.0.1:9000"', param_hint="'--listen'")
    return host.removeprefix("[").removesuffix("]"), int(port)


def _key(key_file: Path | None, config_file: Path | None) -> str:
    if key_file is None:
        from camiohookd.config.load import load_with_keys

        return next(iter(load_with_keys(config_file, os.environ)[1].values()))
    try:
        lines = key_file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise CamiohookdError(f"{key_file}: it cannot be read: {error}") from None
    # The daemon's own file of keys has a name before each key.
    words = next(filter(None, (line.partition("#")[0].split() for line in lines)), None)
    if words is None:
        raise CamiohookdError(f"{key_file}: there is no key in this file")
    return quote(words[-1], safe="")


def _own_address(hook: Origin) -> str:
    """Return the address that `hook` sees this machine by."""
    host = hook.host.strip("[]")
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(host, hook.port, type=socket.SOCK_DGRAM)
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)  # sends nothing
            return str(probe.getsockname()[0])
    except OSError as error:
        raise CamiohookdError(f"--url: {host} cannot be reached: {error.strerror}") from None
