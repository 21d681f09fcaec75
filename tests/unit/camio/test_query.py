import unicodedata
from datetime import datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from camiohookd.camio import query
from camiohookd.camio.query_caret import caret
from camiohookd.errors import QueryError

DATE = datetime(2026, 1, 2, 3, 4, 5, 678)


def refusal(text: str) -> QueryError:
    with pytest.raises(QueryError) as caught:
        query.check(text)
    return caught.value


def matches(text: str, camera: str = "front", labels: tuple[str, ...] = ("people", "dog")) -> bool:
    return query.evaluate(text, camera=camera, labels=labels, date=DATE)


@pytest.mark.parametrize(
    "text",
    [
        "1==1",
        "camera == 'front'",
        'camera != "front door"',
        "camera in ['front', 'back'] and not 'dog' in labels",
        "camera in ('front', 'back') or 'dog' not in labels",
        "8 <= date.hour < 18",
        "date.year > 2025 and date.month >= 1 and date.day < 3 and date.minute <= 4 and date.second != 5",
        "date.microsecond == -1 or -2.5 < 1e3",
        "camera == 'Haustür 門' and (True or False or None)",
        " \tcamera == 'front' ",
        "(camera == 'front'\n  and date.hour > 3)",
        "1" + " == 1" * 800,
        "(" * 40 + "1" + ")" * 40,
    ],
)
def test_accepts_camios_restricted_python(text: str) -> None:
    query.check(text)


@pytest.mark.parametrize(
    ("text", "wrong", "says"),
    [
        ("camera = 'front'", "= 'front'", "write =="),
        ("'a=b' == camera = 'x'", "= 'x'", "write =="),
        ("camera == front", "front", "text needs quotes: 'front'"),
        ("camera in [front, 'back']", "front", "text needs quotes: 'front'"),
        ("Camera == 'front'", "Camera", "did you mean camera?"),
        ("'people' in label", "label", "did you mean labels?"),
        ("hour > 3", "hour", "did you mean date.hour?"),
        ("labels == null", "null", "did you mean None?"),
        ("date.hours > 3", "hours", "did you mean hour?"),
        ("date.weekday == 3", "weekday", "it has year, month"),
        ("date . weekday == 3", "weekday", "it has year, month"),
        ("camera.name == 'x'", "camera.name", "only date has parts"),
        ("date.hour.real == 3", "date.hour.real", "only date has parts"),
        ("date.__class__ == 3", "__class__", "date has no __class__"),
        ("camera == 'a' AND date.hour > 3", "AND", "write and"),
        ("camera == 'a' && date.hour > 3", "&& date", "write and"),
        ("camera == 'a' || date.hour > 3", "|| date", "write or"),
        ("!(camera == 'a')", "!(", "write not"),
        ("camera <> 'a'", "<>", "write !="),
        ("camera is 'a'", "is 'a'", "write =="),
        ("camera is not 'a'", "is not", "write !="),
        ("camera == \u2018front\u2019", "\u2018", "quotation mark"),
        ("(date.hour > 3) & (date.hour < 5)", "& (", "write and"),
        ("date.hour + 1 > 3", "+ 1", "arithmetic"),
        ("camera in {'a', 'b'}", "{", "write a list"),
        ("camera == {'a': 1}", "{", "a dictionary"),
        ("__import__('os').system('id')", "__import__", "a call"),
        ("camera == 'a' or date.strftime('%H') == '3'", "date.strftime", "a call"),
        ("labels[0] == 'people'", "labels[0]", "an index"),
        ("'x' in [l for l in labels]", "[l", "a comprehension"),
        ("lambda: 1", "lambda", "lambda"),
        ("(x := 1)", "x :=", "an assignment"),
        ("1 if camera else 2", "1 if", "if … else"),
        ("camera == f'{camera}'", "f'", "an f-string"),
        ("camera in ['a', labels]", "labels", "only literals"),
        ("camera in [*labels]", "*labels", "a star"),
        ("camera == b'a'", "b'a'", "is not allowed here"),
        ("1j == 1", "1j", "is not allowed here"),
        ("... == 1", "...", "is not allowed here"),
        ("-True == 1", "-True", "is not allowed here"),
        ("-camera == 1", "-camera", "is not allowed here"),
        ("camera == 'front", "'front", "unterminated"),
        ("(camera == 'front'", "(camera", "never closed"),
        ("camera == 'a'\ncamera == 'b'", "camera == 'b'", "cannot be read"),
        ("camera ==", "", "ends too early"),
        ("camera == 'a\x1b[2J'", "\x1b", "control character"),
        ("camera == '\udcff'", "\udcff", "not Unicode"),
        ("", "", "to match every event, write 1==1"),
        ("  \n ", "  \n ", "to match every event, write 1==1"),
    ],
)
def test_refuses_other_python_with_its_place_and_advice(text: str, wrong: str, says: str) -> None:
    error = refusal(text)
    assert says in str(error)
    assert text[error.offset :].startswith(wrong)
    assert wrong or error.offset == len(text)


@pytest.mark.parametrize(
    "text",
    [
        "-" * 4095 + "1",
        "not " * 1000 + "1",
        "(" * 2000 + "1" + ")" * 2000,
        "[" * 150 + "]" * 150,
        "date" + ".x" * 2000,
        "1 and (" * 100 + "1" + ")" * 100,
        "1" * 100_000,
        "9" * 4097,
        "\x00",
    ],
)
def test_refuses_hostile_text_without_exhausting_the_stack(text: str) -> None:
    refusal(text)


@given(st.text() | st.text("()[]'\"=<> \n\t\\.,-1adeht#é門", max_size=60))
@example("\ufeff1")
@example("\r1 =")
@example("'\\x")
@example("\u2028=")
@example("#")
def test_accepts_any_text_or_refuses_it_at_a_place_within_it(text: str) -> None:
    try:
        query.check(text)
    except QueryError as error:
        assert 0 <= error.offset <= len(text)
        assert caret(text, error).count("\n") == 1


def columns(text: str) -> int:
    wide = sum(unicodedata.east_asian_width(char) in "WF" for char in text)
    return len(text) + wide - sum(bool(unicodedata.combining(char)) for char in text)


@pytest.mark.parametrize("before", ["", "'é' == ", "'門門' == ", "'e\u0301' == ", "'\U0001f431' == "])
def test_puts_the_caret_under_the_error_after_characters_of_any_width(before: str) -> None:
    text = f"{before}camra == 'front'"
    line, mark = caret(text, refusal(text)).split("\n")
    assert line == text
    assert mark == " " * columns(before) + "^"


def test_shows_the_wrong_line_with_its_tabs_above_the_caret() -> None:
    text = "('é' == camera\n\tand camra == 'front'\n or 1)"
    assert caret(text, refusal(text)) == "\tand camra == 'front'\n\t    ^"


def test_refuses_an_unknown_escape_and_shows_it_or_its_string() -> None:
    text = "camera == 'a\\d'"
    error = refusal(text)
    assert "escape" in str(error)
    assert text[error.offset :].startswith(("'a", "\\d"))  # newer Pythons point at the escape, older ones at the string


def test_keeps_the_caret_of_a_long_query_on_one_terminal_line() -> None:
    text = " or ".join(["camera == 'front'"] * 20) + " or camra == 'x' or " + " or ".join(["camera == 'y'"] * 20)
    line, mark = caret(text, refusal(text)).split("\n")
    assert line[len(mark) - 1 :].startswith("camra")
    assert len(line) < 80


def test_never_prints_a_control_character_of_the_query() -> None:
    text = "camera == '\x1b[2J'"
    assert "\x1b" not in caret(text, refusal(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1==1", True),
        ("camera == 'front'", True),
        ("camera == 'back'", False),
        ("'people' in labels and date.hour == 3", True),
        ("'cat' not in labels", True),
        ("labels == ['people', 'dog']", True),
        ("2 < date.hour <= 3 < 2", False),
        ("not camera", False),
        ("date.year == 2026 and date.month == 1 and date.day == 2 and date.minute == 4", True),
        ("date.second == 5 and date.microsecond == 678", True),
        ("'ron' in camera", True),
        ("camera == 'front' or camera < 3", True),
    ],
)
def test_evaluates_a_query_with_the_facts_of_an_event(text: str, expected: bool) -> None:
    assert matches(text) is expected


@pytest.mark.parametrize(
    ("text", "wrong", "says"),
    [
        ("camera < 3", "<", "cannot compare text with a number by <"),
        ("'é' == camera or camera < 3", "< 3", "cannot compare text with a number"),
        ("(camera  # not < this\n ) >= 3", ">= 3", "cannot compare text with a number by >="),
        ("3 in camera", "in", "cannot look for a number in text"),
        ("camera not in 3", "not in", "cannot look for text in a number"),
        ("date > '2026-01-01'", ">", "cannot compare a date with text"),
        ("labels > None", ">", "cannot compare a list with None"),
    ],
)
def test_reports_values_that_cannot_be_compared_at_the_operator(text: str, wrong: str, says: str) -> None:
    query.check(text)
    with pytest.raises(QueryError, match=says) as caught:
        matches(text)
    assert text[caught.value.offset :].startswith(wrong)


def test_evaluation_and_check_refuse_the_same_queries() -> None:
    with pytest.raises(QueryError, match="a call"):
        matches("camera.startswith('f')")


literals = st.recursive(
    st.booleans() | st.none() | st.integers(-9, 9) | st.floats(-9, 9) | st.sampled_from(["front", "é", "people", ""]),
    lambda items: st.lists(items, max_size=3) | st.lists(items, max_size=3).map(tuple),
    max_leaves=4,
).map(repr)
names = st.sampled_from(
    ["camera", "labels", "date", "date.year", "date.month", "date.day", "date.hour", "date.minute", "date.second"]
)
signs = st.sampled_from(["<", "<=", ">", ">=", "==", "!=", "in", "not  in"])


def compound(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    bracketed = parts.map(lambda part: f"({part})")
    joined = st.builds(
        lambda word, some: f" {word} ".join(some),
        st.sampled_from(["and", "or"]),
        st.lists(bracketed, min_size=2, max_size=4),
    )
    chain = st.builds(
        lambda first, rest: first + "".join(f" {sign} {right}" for sign, right in rest),
        bracketed,
        st.lists(st.tuples(signs, bracketed), min_size=1, max_size=3),
    )
    return joined | chain | bracketed.map(lambda part: f"not {part}")


@given(
    text=st.recursive(literals | names, compound, max_leaves=8),
    camera=st.sampled_from(["front", "back", "é", ""]),
    labels=st.lists(st.sampled_from(["people", "front", ""]), max_size=3),
    date=st.datetimes(),
)
def test_evaluates_every_query_of_the_grammar_as_python_does(
    text: str, camera: str, labels: list[str], date: datetime
) -> None:
    facts = {"camera": camera, "labels": labels, "date": date}
    try:
        expected: object = bool(eval(text, {"__builtins__": {}}, dict(facts)))
    except TypeError:
        expected = QueryError
    try:
        value: object = query.evaluate(text, camera=camera, labels=labels, date=date)
    except QueryError:
        value = QueryError
    assert value is expected
