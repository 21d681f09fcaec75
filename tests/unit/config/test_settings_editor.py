"""Single settings are changed; everything else stays as its owner wrote it."""

import difflib
import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from camiohookd.config import reference
from camiohookd.config.settings_editor import set_values
from camiohookd.errors import CamiohookdError


def changed_lines(before: str, after: str) -> list[str]:
    return [line for line in difflib.ndiff(before.splitlines(), after.splitlines()) if line[:2] in ("+ ", "- ")]


def test_a_setting_that_is_commented_out_takes_that_line() -> None:
    example = reference.example_config()
    after = set_values(example, {("hook", "listen"): "127.0.0.1:8000", ("hook", "trusted_proxies"): ["10.0.0.1"]})
    assert changed_lines(example, after) == [
        '- #listen = "0.0.0.0:8000"',
        '+ listen = "127.0.0.1:8000"',
        "- #trusted_proxies = []",
        '+ trusted_proxies = ["10.0.0.1"]',
    ]


def test_a_setting_of_the_same_name_in_another_section_is_not_touched() -> None:
    after = set_values(reference.example_config(), {("admin", "listen"): "127.0.0.1:9001"})
    assert tomllib.loads(after)["admin"] == {"listen": "127.0.0.1:9001"}
    assert tomllib.loads(after)["hook"] == {}


def test_the_value_of_a_setting_is_replaced_and_its_comment_stays() -> None:
    text = "# mine\n[hook]   # the way in\nlisten='0.0.0.0:9000'  # my port\n\n[log]\nlevel = 'debug'\n"
    after = set_values(text, {("hook", "listen"): "127.0.0.1:9000"})
    assert changed_lines(text, after) == [
        "- listen='0.0.0.0:9000'  # my port",
        '+ listen="127.0.0.1:9000"  # my port',
    ]


def test_a_new_setting_goes_below_the_header_of_its_section() -> None:
    assert set_values("[hook]\nquery = '1'\n[log]\n", {("hook", "public_url"): "https://a.example"}) == (
        "[hook]\npublic_url = \"https://a.example\"\nquery = '1'\n[log]\n"
    )


def test_a_new_section_goes_to_the_end() -> None:
    assert set_values("[log]\nlevel = 'info'", {("hook", "query"): "1==1"}) == (
        "[log]\nlevel = 'info'\n\n[hook]\nquery = \"1==1\"\n"
    )
    assert set_values("", {("hook", "query"): "1==1"}) == '[hook]\nquery = "1==1"\n'


def test_line_ends_of_windows_stay() -> None:
    after = set_values("[hook]\r\n#listen = ''\r\n", {("hook", "listen"): "127.0.0.1:1", ("log", "level"): "info"})
    assert after == '[hook]\r\nlisten = "127.0.0.1:1"\r\n\r\n[log]\r\nlevel = "info"\r\n'


@pytest.mark.parametrize(
    "text",
    [
        "hook.listen = '0.0.0.0:1'\nhook.query = 'x'\n",
        "hook = { listen = '0.0.0.0:1', query = 'x' }\n",
        "[hook]\nlisten = [\n  'a', # why\n]\nquery = 'x'\n",
        "[hook]\nquery = 'x'\nnote = '''\n[hook]\n#listen = \n'''\n",
        "[[rule]]\ncamera = 'a'\n\n[ hook ]\nquery = 'x'\n[[rule]]\ncamera = 'b'\n",
    ],
)
def test_other_ways_of_writing_toml_are_changed_too(text: str) -> None:
    after = tomllib.loads(set_values(text, {("hook", "listen"): "127.0.0.1:1"}))
    before = tomllib.loads(text)
    before["hook"]["listen"] = "127.0.0.1:1"
    assert after == before


def test_what_cannot_be_changed_is_refused_with_the_line_to_write() -> None:
    with pytest.raises(CamiohookdError, match=r'under \[hook\]: listen = "127\.0\.0\.1:1"$'):
        set_values("hook = 7\n", {("hook", "listen"): "127.0.0.1:1"})


@given(st.text(max_size=30), st.sampled_from(["listen", "query", "new"]))
def test_any_text_is_written_so_that_it_is_read_back(value: str, key: str) -> None:
    after = set_values("# head\n[hook]\n#listen = 'x'\nquery = 'y' # why\n", {("hook", key): value})
    assert tomllib.loads(after)["hook"][key] == value
    assert after.startswith("# head\n[hook]\n")


def test_of_several_tables_of_a_name_the_first_is_changed() -> None:
    text = '[[labeler]]\n# model = "a"\n\n[[labeler]]\nkind = "python"  # mine\n'
    changed = '[[labeler]]\nmodel = "b"\n\n[[labeler]]\nkind = "python"  # mine\n'
    assert set_values(text, {("labeler", "model"): "b"}) == changed
    assert set_values(changed, {("labeler", "model"): "c"}) == changed.replace('"b"', '"c"')
