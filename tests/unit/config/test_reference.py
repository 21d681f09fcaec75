import re
import tomllib
from functools import reduce
from operator import getitem
from pathlib import Path

import msgspec
import pytest

from camiohookd.config import reference
from camiohookd.config.load import SECTIONS, Config, load_config
from camiohookd.config.rule import Rule, Zone
from camiohookd.config.settings import LabelerSettings
from camiohookd.config.tables import settings_of, tables_within
from tests.support.checkout import ROOT

ADVICE = "run ./build.sh docs"


def uncommented() -> str:
    return re.sub(r"^#(?=\S)", "", reference.example_config(), flags=re.MULTILINE)


def test_the_unchanged_example_sets_nothing(tmp_path: Path) -> None:
    path = tmp_path / "example.toml"
    path.write_text(reference.example_config())
    assert load_config(path, {}) == Config()


def test_the_uncommented_example_equals_all_defaults(tmp_path: Path) -> None:
    path = tmp_path / "example.toml"
    path.write_text(uncommented())
    zone = Zone("drive", ((0.1, 0.5), (0.9, 0.5), (1.0, 1.0), (0.0, 1.0)))
    assert load_config(path, {}) == Config(
        labeler=LabelerSettings(required=True),
        rule=(Rule(detail="2x2", static="drop", min_probability=0.5, nothing_label="nothing", zone=(zone,)),),
    )


@pytest.mark.parametrize(("section", "kind"), [*SECTIONS.items(), ("rule", Rule)])
def test_every_setting_is_in_the_example_and_in_the_table_with_a_description(
    section: str, kind: type[msgspec.Struct]
) -> None:
    example = reduce(getitem, section.split("."), tomllib.loads(uncommented()))
    table = reference.settings_table()
    keys = list(settings_of(kind))
    written = example[0] if isinstance(example, list) else example
    assert [key for key in written if key not in tables_within(kind)] == keys
    for key in set(keys) - {"zone"}:  # which has a heading of its own
        assert re.search(rf"^\| `{key}` \| [^|]+ \| [^|]+ \| [A-Za-z][^|]+ \|$", table, flags=re.MULTILINE)
    assert "None" not in table


def test_the_packaged_file_is_the_example() -> None:
    assert (ROOT / "debian/camiohookd.toml").read_text() == reference.example_config(), ADVICE


def test_the_page_contains_the_table() -> None:
    readme = (ROOT / "docs/configure.md").read_text()
    assert readme == reference.with_table(readme), ADVICE
