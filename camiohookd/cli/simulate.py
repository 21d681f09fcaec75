"""`camiohookd simulate`: act as Camio against a running daemon.

options ──▶ the hook's address, the key ──▶ pictures ──▶ events ──▶ simulator.session ──▶ simulator.report ──▶ status
"""

import asyncio
import math
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

import click

from camiohookd.cli.input_file import InputFile
from camiohookd.cli.masking import masker
from camiohookd.cli.settings import config_option
from camiohookd.errors import CamiohookdError, MalformedUrl
from camiohookd.net.urls import Origin, split_url
from camiohookd.system.permissions import reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from camiohookd.camio.simulator.events import SimulatedEvent

FEW_EVENTS = 5
ANY_ADDRESS = ("0.0.0.0", "::")  # noqa: S104  # for comparison; not bound


class _Number(click.FloatRange):
    """A number within bounds; refuses "nan" and "inf", which pass every comparison with a bound."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value!r} is not a finite number.", param, ctx)
        return number


class _Target(NamedTuple):
    """The hook to post to. `address` ends before ``/tasks/``. With `insecure`, every certificate is accepted."""

    address: str
    origin: Origin
    key: str
    insecure: bool

    @property
    def hook_url(self) -> str:
        return f"{self.address.rstrip('/')}/tasks/{self.key}"


@click.command()
@click.option(
    "--url",
    metavar="http://HOST:PORT",
    help="The address of the daemon, without /tasks/.  [default: the one in the daemon's settings]",
)
@click.option("--insecure", is_flag=True, help="With https: accept every certificate, even a self-signed one.")
@click.option(
    "--key-file",
    type=InputFile(),
    metavar="FILE",
    help="Read the API key from this file; otherwise it comes from CAMIOHOOKD_HOOK_API_KEY or the configuration.",
)
@config_option
@click.option(
    "--images",
    multiple=True,
    type=InputFile(folders=True),
    metavar="DIR|FILE...",
    help="Pictures to send: files, and folders of .jpg files.  [default: four bundled photographs]",
)
@click.argument("more_images", nargs=-1, type=InputFile(folders=True), metavar="")
@click.option(
    "--events",
    type=click.IntRange(min=1, max=1_000_000),
    metavar="N",
    help="How many events to send.  [default: enough to send every picture once]",
)
@click.option(
    "--rate",
    type=_Number(min=0),
    default=0.0,
    metavar="R",
    help="Events per second.  [default: 0, as fast as the daemon accepts them]",
)
@click.option(
    "--listen",
    default="127.0.0.1:0",
    show_default=True,
    metavar="HOST:PORT",
    help="Where to receive labels; port 0 picks a free port. The daemon must allow it as a callback host.",
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
    url: str | None,
    insecure: bool,
    key_file: Path | None,
    config_file: Path | None,
    images: tuple[Path, ...],
    more_images: tuple[Path, ...],
    events: int | None,
    rate: float,
    listen: str,
    timeout: float,
) -> int:
    """Act as Camio: post events to a running daemon, receive their labels, and check every reply against the contract.

    The daemon must be allowed to call back: write the address of --listen, with http:// before it, into allow_hosts
    under [callback] and reload the daemon. Without that, this command says so.

    The pictures are sent in turn, in events of 4, 1, 2, 3, 4, 1, ... pictures, so that the same pictures always make
    the same events. If the daemon answers 503, the event is posted again after the daemon's Retry-After.

    The objects in the bundled photographs are known. The polygon of a known object must be on the object, with y
    upward. Some objects may be missing, but not all. Replies for your own pictures (--images) are checked only for
    their form.

    Exit status: 0 if valid labels arrived for every event; 1 if not, or if a picture could not be read. Such a picture
    is named, and the others are sent.

    \b
    Examples:
      sudo camiohookd simulate --listen 127.0.0.1:9000
      camiohookd simulate --url https://hook.example.org --key-file key --listen 127.0.0.1:9000 --images yard.jpg
    """
    from camiohookd.camio.simulator.events import enough_events, make_events, read_pictures

    if more_images and not images:
        raise click.UsageError("write --images before your own pictures")
    host, port = _host_and_port(listen)
    target = _target(url, insecure, key_file, config_file)
    pictures, left_out = read_pictures([*images, *more_images])
    for why in left_out:
        click.echo(f"left out: {why}", err=True)
    count = events or enough_events(len(pictures))
    status = asyncio.run(_run(target, (host, port), make_events(pictures, count), count, rate, timeout))
    return 1 if left_out else status


async def _run(
    target: _Target,
    listen: tuple[str, int],
    events: "Iterable[SimulatedEvent]",
    count: int,
    rate: float,
    timeout: float,
) -> int:
    from camiohookd.camio.simulator.fake_camio import FakeCamio
    from camiohookd.camio.simulator.reach import check_hook
    from camiohookd.camio.simulator.report import report
    from camiohookd.camio.simulator.session import Simulation, why_implausible

    camio = FakeCamio(insecure=target.insecure)
    host, port = listen
    try:
        await camio.listen(host, port, _own_address(target.origin) if host in ANY_ADDRESS else host)
    except OSError as error:
        raise CamiohookdError(f"cannot listen on --listen {host}:{port}: {error.strerror or error}") from None
    try:
        await check_hook(camio, target.origin, timeout)
        with click.progressbar(
            length=count, label="events", file=sys.stderr, hidden=count <= FEW_EVENTS or not sys.stderr.isatty()
        ) as bar:
            results = await Simulation(camio, target.hook_url, rate, timeout).run(events, lambda: bar.update(1))
    finally:
        await camio.close()
    mask = masker([target.key])
    doubts = why_implausible(results)
    for line in report(results, doubts, camio.origin):
        click.echo(mask(line))
    return 0 if all(result.valid for result in results) and not doubts else 1


def _target(url: str | None, insecure: bool, key_file: Path | None, config_file: Path | None) -> _Target:
    from camiohookd.config.load import load_config, load_with_keys

    config = None
    if key_file is not None:
        key = _key_in(key_file)
    else:
        config, keys = load_with_keys(config_file, os.environ)
        key = next(iter(keys.values()))
    if url is not None:
        return _Target(url, _hook_origin(url), key, insecure)
    hook = (config or load_config(config_file, os.environ)).hook
    own = f"{'https' if hook.tls_cert else 'http'}://{hook.listen.from_here}"
    # The certificate is for the public name of this machine, not for this address.
    return _Target(own, _hook_origin(own), key, insecure=True)


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


def _key_in(key_file: Path) -> str:
    """Return the first key of a file. Each line is a key, or as in the daemon's own file, a name and a key."""
    try:
        lines = key_file.read_text().splitlines()
    except OSError as error:
        raise CamiohookdError(f"cannot read the key file {key_file}: {reason(error, key_file)}") from None
    except UnicodeDecodeError:
        raise CamiohookdError(f"cannot read the key file {key_file}: not UTF-8 text; save it as UTF-8") from None
    words = next(filter(None, (line.partition("#")[0].split() for line in lines)), None)
    if words is None:
        raise CamiohookdError(f"{key_file}: there is no key in this file")
    return quote(words[-1], safe="")


def _own_address(hook: Origin) -> str:
    """Return the address under which `hook` sees this machine."""
    host = hook.host.strip("[]")
    try:
        [(family, kind, protocol, _, address), *_] = socket.getaddrinfo(host, hook.port, type=socket.SOCK_DGRAM)
        with socket.socket(family, kind, protocol) as probe:
            probe.connect(address)  # sends nothing
            return str(probe.getsockname()[0])
    except OSError as error:
        raise CamiohookdError(f"--url: {host} cannot be reached: {error.strerror}") from None
