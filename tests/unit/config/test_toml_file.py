from pathlib import Path

import pytest

from camiohookd.config import toml_file
from camiohookd.errors import ConfigError


@pytest.mark.parametrize(
    ("place", "where"),
    [
        (("queue",), ", line 1: queue"),
        (("queue", "order"), ", line 2: queue.order"),
        (("rule", "camera", 1), ", line 7: rule.camera"),
        (("rule", "labels", 0), ": rule.labels"),
        (("hook", "order"), ": hook.order"),
        (("rule.zone", "name", 0, 1), ": rule.zone.name"),
        (("rule.zone", "name", 1, 0), ", line 9: rule.zone.name"),
        (("rule.zone", "name", 1, 1), ", line 11: rule.zone.name"),
        (("rule.zone", "", 1, 1), ", line 10: rule.zone"),
    ],
)
def test_names_the_line_of_a_key_if_known(
    tmp_path: Path, place: tuple[str] | tuple[str, str] | tuple[str, str, int] | tuple[str, str, int, int], where: str
) -> None:
    path = tmp_path / "a.toml"
    path.write_text(
        "[queue]\norder = 'newest'\n\n[[rule]]\ncamera = 'a'\n[[rule]]\ncamera = 'b'\n"
        "[[rule.zone]]\nname = 'c'\n[[ rule.zone ]]\nname = 'd'\n"
    )
    assert toml_file.read(path, required=True).where(*place) == f"{path}{where}"


def test_a_missing_file_is_empty_unless_it_is_required(tmp_path: Path) -> None:
    path = tmp_path / "absent.toml"
    assert toml_file.read(path, required=False) == (path, "", {})
    with pytest.raises(ConfigError, match="there is no such file"):
        toml_file.read(path, required=True)
