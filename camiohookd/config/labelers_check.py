"""Check that the labelers fit together: several [[labeler]] in their order."""

from collections.abc import Sequence
from itertools import combinations

from camiohookd.config.settings.labeler import LabelerSettings
from camiohookd.config.toml_file import TomlFile
from camiohookd.errors import ConfigError


def check_labelers(labelers: Sequence[LabelerSettings], file: TomlFile) -> None:
    """Check what depends on the other labelers. Raises ConfigError, which names the place in `file`."""
    if labelers[0].on:
        raise ConfigError(
            f"{file.where('labeler', 'on', 0)}: no labeler comes before this one, so that it would never get anything; "
            "leave on out, or put the labeler that finds these objects first"
        )
    titles = [(nth, each.title) for nth, each in enumerate(labelers)]
    for (first, title), (second, other) in combinations(titles, 2):
        if title == other:
            raise ConfigError(
                f'{file.where("labeler", "", second)}: labelers {first + 1} and {second + 1} are both named "{title}"; '
                "set name to tell them apart"
            )
