"""Explain what is wrong in a `parsed_query`, and what its writer probably meant."""

import ast
import re
from difflib import get_close_matches

NAMES = ("camera", "labels", "date")
DATE_ATTRIBUTES = ("year", "month", "day", "hour", "minute", "second", "microsecond")

_LANGUAGE = "a query has and, or, not, in, comparisons, literals, and the names camera, labels and date"

_REFUSED: dict[type[ast.AST], str] = {
    ast.Await: "await",
    ast.BinOp: "arithmetic",
    ast.Call: "a call",
    ast.Dict: "a dictionary",
    ast.DictComp: "a comprehension",
    ast.GeneratorExp: "a comprehension",
    ast.IfExp: "if … else",
    ast.JoinedStr: "an f-string",
    ast.Lambda: "lambda",
    ast.ListComp: "a comprehension",
    ast.NamedExpr: "an assignment",
    ast.Set: "a set",
    ast.SetComp: "a comprehension",
    ast.Starred: "a star",
    ast.Subscript: "an index in [ ]",
    ast.Yield: "yield",
    ast.YieldFrom: "yield",
}
_INSTEAD: dict[type[ast.AST], str] = {
    ast.BitAnd: "for & write and",
    ast.BitOr: "for | write or",
    ast.Set: "write a list, [ ]",
}
_CONSTANTS = {"true": "True", "false": "False", "none": "None", "null": "None"}

_SLIP = re.compile(
    r"""'(?:\\.|[^'\\])*' | "(?:\\.|[^"\\])*"       # text in quotes may hold anything
    |(?P<slip>(?<![=!<>:])=(?!=) | && | \|\| | !(?!=) | <> | [\u2018\u2019\u201c\u201d] | \b(?:AND|OR|NOT|IN)\b)""",
    re.VERBOSE | re.DOTALL,
)
_SLIP_HINTS = {
    "=": "= is not a comparison; write ==",
    "&&": "&& is not known; write and",
    "||": "|| is not known; write or",
    "!": "! is not known; write not",
    "<>": "<> is not known; write !=",
} | dict.fromkeys("\u2018\u2019\u201c\u201d", "this is a typographic quotation mark; write ' or \"")


def slip(text: str) -> tuple[str, int] | None:
    """Find the first spelling of another language in a text that Python cannot parse; return a hint and its offset."""
    for match in _SLIP.finditer(text):
        if word := match["slip"]:
            return _SLIP_HINTS.get(word, f"{word} is not known; write {word.lower()}"), match.start()
    return None


def refusal(node: ast.expr) -> str:
    """Return why `node` is not allowed in a query."""
    if isinstance(node, ast.Name):
        return "a list can hold only literals" if node.id in NAMES else _unknown(node.id)
    if isinstance(node, ast.Attribute):
        return f".{node.attr} is not allowed here: only date has parts, such as date.hour"
    what = _REFUSED.get(type(node), "this")
    hint = _INSTEAD.get(type(node.op if isinstance(node, ast.BinOp) else node), _LANGUAGE)
    return f"{what} is not allowed here: {hint}"


def no_such_part(attribute: str) -> str:
    """Return why ``date.attribute`` is not allowed, and what is."""
    return f"date has no {attribute}{_perhaps(attribute, DATE_ATTRIBUTES)}; it has {', '.join(DATE_ATTRIBUTES)}"


def _unknown(name: str) -> str:
    if name.lower() in DATE_ATTRIBUTES:
        return f"the name {name} is not known; did you mean date.{name.lower()}?"
    constant = _CONSTANTS.get(name.lower())
    perhaps = f"; did you mean {constant}?" if constant else _perhaps(name, NAMES)
    return f"the name {name} is not known{perhaps or f'; text needs quotes: {name!r}'}"


def _perhaps(word: str, known: tuple[str, ...]) -> str:
    close = get_close_matches(word.lower(), known, 1)
    return f"; did you mean {close[0]}?" if close else ""
