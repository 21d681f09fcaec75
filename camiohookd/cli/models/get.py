"""`camiohookd models get`: get a well-known model from its publisher.

catalogue ─▶ allow list ─▶ `download` ─▶ size and SHA-256 as in the catalogue? ─▶ `add_model`
"""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from camiohookd.cli.input_file import InputFile
from camiohookd.cli.models.add import add_model, checked_name, into_option, picture_option, size_option
from camiohookd.cli.settings import settings_without_keys
from camiohookd.errors import CallbackNotAllowed, ConfigError, ModelError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from camiohookd.config.load import Config
    from camiohookd.labelers.catalogue import CatalogueEntry

_ROW = "{:<20}  {:>8}  {:<12}  {}"


@click.command()
@click.argument("name", required=False)
@click.option("--as", "added_as", metavar="NAME", help="The model's name here.  [default: NAME]")
@size_option
@picture_option
@into_option
@click.option(
    "--catalogue",
    "catalogue_file",
    type=InputFile(),
    metavar="FILE",
    help="Another catalogue than the one in the package.",
)
def get(
    name: str | None,
    added_as: str | None,
    size: tuple[int, int] | None,
    picture: Path,
    into: Path,
    catalogue_file: Path | None,
) -> None:
    """Get a well-known model from its publisher, and add it. Without NAME, list them.

    The catalogue in the package names the publisher's address, the license and the SHA-256 checksum of each file, and
    how to use the model. A file with another checksum is not used. The box calls the publisher's host, by https; no
    picture is sent.

    \b
    Examples:
      camiohookd models get
      sudo camiohookd models get yolox-s
      sudo camiohookd models get yolox-s --size 640x384 --as yolox-s-wide
    """
    from camiohookd.labelers.catalogue import CATALOGUE, read_catalogue

    entries = read_catalogue(catalogue_file or CATALOGUE)
    if name is None:
        _list(entries)
        return
    if name not in entries:
        raise click.BadParameter(f"{name!r} is not in the catalogue, which has {', '.join(entries)}", param_hint="NAME")
    entry = entries[name]
    added_as = checked_name(added_as or name, "--as")
    model = _downloaded(entry, settings_without_keys())
    given = {
        "decoder": entry.decoder,
        "labels_file": entry.labels,
        "color_order": entry.color_order,
        "value_range": entry.range,
        "resize": entry.resize,
        "mean": entry.mean,
        "std": entry.std,
        "score": entry.score,
        "licence": entry.licence,
        "source": entry.url,
        "reading": None,
        "size": size,
    }
    add_model(model, Path(entry.url.rpartition("/")[2]), added_as, picture, into, None, given)


def _list(entries: "Mapping[str, CatalogueEntry]") -> None:
    click.echo(_ROW.format("NAME", "SIZE", "LICENSE", ""))
    for name, entry in entries.items():
        click.echo(_ROW.format(name, f"{entry.bytes / 1e6:.1f} MB", entry.licence, entry.about))


def _downloaded(entry: "CatalogueEntry", settings: "Config") -> bytes:
    """Return the file of the entry. Raises ModelError, DownloadError."""
    import hashlib
    from importlib.metadata import version

    from camiohookd.delivery import AllowList, trusted_certificates
    from camiohookd.net.urls import split_url
    from camiohookd.outgoing.download import DownloadError, download

    origin, _ = split_url(entry.url)
    try:
        publisher = [origin.host] if (origin.scheme, origin.port) == ("https", 443) else []
        target = AllowList([*settings.callback.allow_hosts, *publisher]).check(entry.url)
    except (CallbackNotAllowed, ConfigError) as error:
        raise ModelError(
            f"{entry.url}: this address is not allowed: only https at port 443 and public addresses are; to allow it, "
            f'add "{origin}" to allow_hosts in the [callback] section of the configuration'
        ) from error
    click.echo(f"getting {entry.bytes / 1e6:.1f} MB from {origin.host} ...")
    parts = download(
        target.url,
        entry.bytes,
        version=version("camiohookd"),
        any_address=target.any_address,
        certificates=trusted_certificates(settings.callback.ca),
    )
    try:
        data = b"".join(parts)
    except DownloadError as error:
        raise DownloadError(
            f"{error}; check this machine's network and try again, or get the file with another machine and add it "
            "with `camiohookd models add`"
        ) from error
    actual = hashlib.sha256(data).hexdigest()
    if actual != entry.sha256:
        raise ModelError(
            f"{entry.url}: its sha256 is {actual}, the catalogue expects {entry.sha256}: the file was replaced or "
            "damaged, and is not used"
        )
    return data
