"""Rules as text, and adding them to the settings file."""

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camiohookd.config import load, rule_file, rule_text
from camiohookd.config.rule import Rule, Zone
from camiohookd.errors import CamiohookdError, ConfigError

NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
FRACTIONS = st.integers(0, 10_000).map(lambda number: number / 10_000)
CORNERS = st.lists(st.tuples(FRACTIONS, FRACTIONS), min_size=3, max_size=6).map(tuple)
ZONES = st.builds(Zone, name=NAMES, polygon=CORNERS, kind=st.sampled_from(["include", "exclude"]))
RULES = st.builds(
    Rule,
    camera=NAMES,
    labels_format=st.sampled_from(["image", "event"]),
    min_probability=st.none() | FRACTIONS,
    min_probability_of=st.dictionaries(NAMES, FRACTIONS, max_size=3),
    labels=st.lists(NAMES, max_size=3).map(tuple),
    ignore_labels=st.lists(NAMES, max_size=3).map(tuple),
    label_map=st.dictionaries(NAMES, NAMES, max_size=3),
    min_area=FRACTIONS,
    max_area=FRACTIONS,
    nothing_label=st.none() | NAMES,
    zone=st.lists(ZONES, max_size=3).map(tuple),
)

SETTINGS = """\
# mine, do not touch
[hook]
listen = "127.0.0.1:8000"   # behind the proxy

# the street
[[rule]]
camera = "street"
min_probability = 0.5
[[rule.zone]]
name = "pavement"
polygon = [[0, 0], [1, 0], [1, 1]]

# everything else
[[rule]]
camera = "*"
ignore_labels = ["cat"]
"""
FRONT = '[[rule]]\ncamera = "front"\nmin_probability = 0.7\n'


@given(RULES)
def test_a_rule_is_read_as_it_was_written(rule: Rule) -> None:
    assert rule_text.read(rule_text.text_of(rule), "text") == (rule,)


def test_only_what_is_not_the_default_is_written() -> None:
    zone = Zone("drive", ((0.1, 0.5), (0.9, 0.5), (1.0, 1.0)))
    assert rule_text.text_of(Rule("front", min_probability=0.5, zone=(zone,))) == (
        '[[rule]]\ncamera = "front"\nmin_probability = 0.5\n\n[[rule.zone]]\nname = "drive"\nkind = "include"\n'
        "polygon = [[0.1, 0.5], [0.9, 0.5], [1.0, 1.0]]\n"
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "there is no rule"),
        ("[hook]\nlisten = ':1'", "expected rules only"),
        ("[[rule]]\ncamera = front", "line 2: not valid TOML"),
        ("[[rule]]\nmin_probability = 2", "text, line 2: rule.min_probability"),
        ("[[rule]]\n[[rule.zone]]\nname = 'a'\npolygon = [[0, 0], [1, 1]]", "polygon"),
        ("[[rule]]\nminimum = 1", "unknown setting"),
        ("[rule]", "expected an array of tables"),
    ],
)
def test_text_that_is_no_rule_is_an_error_with_its_place(text: str, words: str) -> None:
    with pytest.raises(ConfigError) as raised:
        rule_text.read(text, "text")
    assert words in str(raised.value)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "camiohookd.toml"
    path.write_text(SETTINGS)
    return path


def test_a_rule_is_added_at_the_end_and_all_else_stays(file: Path) -> None:
    added, settings = rule_file.add(file, FRONT, "text", replace=False)
    assert file.read_text() == f"{SETTINGS}\n{FRONT}"
    assert [rule.camera for rule in added] == ["front"]
    assert [rule.camera for rule in settings.rule] == ["street", "*", "front"]
    assert load.load_config(file, {}) == settings


def test_a_file_that_does_not_exist_is_made(tmp_path: Path) -> None:
    rule_file.add(tmp_path / "new.toml", FRONT, "text", replace=False)
    assert (tmp_path / "new.toml").read_text() == FRONT


def test_a_rule_for_the_same_camera_is_an_error_with_its_line(file: Path) -> None:
    with pytest.raises(CamiohookdError, match=r'line 6: rule: there is a rule for camera = "street" already'):
        rule_file.add(file, FRONT.replace("front", "street"), "text", replace=False)
    assert file.read_text() == SETTINGS


def test_a_rule_can_be_replaced_with_its_zones_and_other_comments_stay(file: Path) -> None:
    _, settings = rule_file.add(file, FRONT.replace("front", "street"), "text", replace=True)
    assert [rule.camera for rule in settings.rule] == ["*", "street"]
    text = file.read_text()
    assert "pavement" not in text
    for kept in ("# mine, do not touch", "# behind the proxy", "# everything else\n[[rule]]"):
        assert kept in text


@given(st.lists(RULES, min_size=1, max_size=4, unique_by=lambda rule: rule.camera), st.data())
def test_replacing_any_rule_changes_no_other(
    tmp_path_factory: pytest.TempPathFactory, rules: list[Rule], data: st.DataObject
) -> None:
    file = tmp_path_factory.getbasetemp() / "some.toml"
    file.write_text("# head\n" + "\n# about it\n".join(map(rule_text.text_of, rules)))
    old = data.draw(st.sampled_from(rules))
    new = Rule(old.camera, min_area=0.25)
    _, settings = rule_file.add(file, rule_text.text_of(new), "text", replace=True)
    assert settings.rule == (*(rule for rule in rules if rule != old), new)
    assert tomllib.loads(file.read_text())


def test_two_rules_for_one_camera_are_an_error(file: Path) -> None:
    with pytest.raises(CamiohookdError, match="several rules"):
        rule_file.add(file, FRONT + FRONT, "text", replace=True)


def test_rules_in_another_form_are_left_to_the_owner(file: Path) -> None:
    file.write_text('rule = [{ camera = "a" }]\n')
    for replace, camera in ((False, "front"), (True, "a")):
        with pytest.raises(CamiohookdError, match="change the file by hand"):
            rule_file.add(file, FRONT.replace("front", camera), "text", replace=replace)
    assert file.read_text() == 'rule = [{ camera = "a" }]\n'


def test_the_owner_and_the_mode_of_the_file_stay(file: Path) -> None:
    file.chmod(0o600)
    rule_file.add(file, FRONT, "text", replace=False)
    assert file.stat().st_mode & 0o777 in (0o600, 0o640)
