"""Names of what a model can run on: parsed, matched, and passed between processes.

settings, folder, packages ─▶ `Library` ─▶ `providers` ─▶ `Device` ─▶ `Wish.fits`
"""

import mmap
import os
import re
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

import msgspec

from camiohookd.errors import ConfigError

PLUGIN_FOLDER = Path("/usr/lib/camiohookd/plugins")
CPU_PROVIDER = "CPUExecutionProvider"
HARDWARE = ("cpu", "gpu", "npu")

_PACKAGES = "onnxruntime-ep-"
_ENTRY_POINT = b"CreateEpFactories"


class Library(msgspec.Struct, frozen=True, tag=True):
    """A plug-in with execution providers: the `path` of its library, or the Python `package` that knows the path.

    `stamp` changes when the library does.
    """

    path: str = ""
    package: str = ""
    stamp: str = ""

    @property
    def name(self) -> str:
        """Return the name to show to people."""
        return self.path or self.package


class Device(msgspec.Struct, frozen=True):
    """An execution provider on one piece of hardware.

    `hardware` is "cpu", "gpu" or "npu", or "" where a built-in provider does not tell; `number` counts from 1 those
    that would have the same name; `library` is None for what is built in.
    """

    provider: str
    hardware: str = ""
    vendor: str = ""
    number: int = 1
    library: Library | None = None

    @property
    def name(self) -> str:
        """The name as it can be written in the settings."""
        name = f"{self.provider}:{self.hardware}" if self.library and self.hardware else self.provider
        return name if self.number == 1 else f"{name}:{self.number}"

    @property
    def is_cpu(self) -> bool:
        """Whether this is the CPU, which every model can run on."""
        return self.provider == CPU_PROVIDER


CPU = Device(CPU_PROVIDER, "cpu")


class Wish(msgspec.Struct, frozen=True):
    """The parsed setting `device`: `head` is "auto", "cpu", "gpu", "npu" or a provider's name, in front of its
    `hardware` and `number` where those were given; `options` are the provider's own."""

    text: str
    head: str
    hardware: str = ""
    number: int = 0
    options: dict[str, str] = {}

    def fits(self, device: Device) -> bool:
        """Return whether the setting means this device."""
        if self.head == "auto":
            return True
        if self.head in HARDWARE:
            return not device.is_cpu and device.hardware == self.head
        return (
            device.provider.lower() in (self.head, f"{self.head}executionprovider")
            and self.hardware in ("", device.hardware)
            and self.number in (0, device.number)
        )


def parse_device(text: str) -> Wish:
    """Parse the setting `device`. Raises ConfigError.

    It is a name, optionally followed by ``:gpu`` and a number if there are several, and by ``key=value`` options of the
    provider.
    """
    name, *words = text.split()
    options = dict(_option(text, word) for word in words)
    match = re.fullmatch(r"([^:]+)(?::(cpu|gpu|npu))?(?::([1-9][0-9]?))?", name.lower())
    if match is None:
        raise ConfigError(f'labeler.device: given "{text}", expected "auto", "cpu", "gpu", "npu" or a provider\'s name')
    head, hardware, number = match.groups()
    if head in ("cpu", CPU_PROVIDER.lower()):
        head, hardware, number = "cpu", None, None
    if head in ("auto", *HARDWARE) and (hardware or number or options):
        raise ConfigError(f'labeler.device: given "{text}", but only a provider\'s name takes options')
    return Wish(text, head, hardware or "", int(number or 0), options)


def _option(text: str, word: str) -> tuple[str, str]:
    key, equals, value = word.partition("=")
    if not (key and equals):
        raise ConfigError(f'labeler.device: given "{text}", expected options as key=value')
    return key, value


def libraries(named: Sequence[str], folder: Path = PLUGIN_FOLDER) -> Iterator[Library]:
    """Yield every plug-in without loading it.

    These are the `named` ones, those in the `folder`, and the installed Python packages ``onnxruntime-ep-*``.
    """
    seen: set[Path] = set()
    for path in (*map(Path, named), *filter(_is_plugin, sorted(folder.glob("*.so")))):
        if path.resolve() not in seen:
            seen.add(path.resolve())
            yield Library(path=str(path), stamp=_stamp(path))
    for name, distribution in sorted(_packages().items()):
        yield Library(package=_module(name, distribution), stamp=distribution.version)


def _packages() -> dict[str, metadata.Distribution]:
    """Return the packages that may contain plug-ins, by their normalized names (PEP 503).

    Only the names of folders are looked at: reading every package's metadata takes longer than loading the model.
    """
    found: dict[str, metadata.Distribution] = {}
    for folder in map(Path, filter(os.path.isdir, sys.path)):  # Path.is_dir raises an error for one in a private folder
        for path in folder.glob("*.dist-info"):
            name = re.sub(r"[-_.]+", "-", path.stem.rpartition("-")[0]).lower()
            if name.startswith(_PACKAGES):
                found.setdefault(name, metadata.Distribution.at(path))
    return found


def _is_plugin(path: Path) -> bool:
    """Return whether the library is a plug-in; libraries that a plug-in needs are in the same folder."""
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as library:
            return library.find(_ENTRY_POINT) >= 0
    except (OSError, ValueError):  # ValueError: it is empty
        return True  # registering it reports the problem


def _stamp(path: Path) -> str:
    try:
        facts = path.stat()
    except OSError:
        return ""
    return f"{facts.st_size}-{facts.st_mtime_ns}"


def _module(name: str, distribution: metadata.Distribution) -> str:
    """Return the name of the package's module."""
    modules = (distribution.read_text("top_level.txt") or "").split()
    return modules[0] if modules else name.replace("-", "_")
