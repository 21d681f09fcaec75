"""Check Camio's `parsed_query`, the filter of a hook, before it is sent, and evaluate it for a given event.

    text ──ast.parse──▶ tree ──_Reader──▶ meaning ──called with an event's facts──▶ does it match?

The language is Camio's restricted Python: ``and``, ``or``, ``not``, ``in``, ``not in``, ``<``, ``<=``, ``>``,
``>=``, ``==``, ``!=``, literals, and the names ``camera``, ``labels`` and ``date`` with its parts (``date.hour``).
The check and the evaluation use the same reader of the tree, so that they accept the same queries. Python's `eval` is
never called.
"""

import ast
import operator
import re
import unicodedata
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from camiohookd.camio import query_hints
from camiohookd.errors import QueryError

MAX_LENGTH = 4096
"""The longest query in characters: longer than any real filter, and short enough to parse hostile text cheaply."""

MAX_DEPTH = 50
"""How deep brackets, `not` and comparisons may be nested."""


def _is_in(item: Any, whole: Any) -> bool:
    return item in whole


def _is_not_in(item: Any, whole: Any) -> bool:
    return item not in whole


_SIGNS: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], object]]] = {
    ast.Lt: ("<", operator.lt),
    ast.LtE: ("<=", operator.le),
    ast.Gt: (">", operator.gt),
    ast.GtE: (">=", operator.ge),
    ast.Eq: ("==", operator.eq),
    ast.NotEq: ("!=", operator.ne),
    ast.In: ("in", _is_in),
    ast.NotIn: ("not in", _is_not_in),
}
_IDENTITIES: dict[type[ast.cmpop], str] = {
    ast.Is: "write == instead of is",
    ast.IsNot: "write != instead of is not",
}
_KINDS: dict[type, str] = {
    bool: "True or False",
    int: "a number",
    float: "a number",
    str: "text",
    list: "a list",
    tuple: "a list",
    datetime: "a date",
    type(None): "None",
}

# Matches what may come between an operand and its operator, or between `date` and the name of its part.
_NOTHING = re.compile(r"(?:[\s).\\]|#[^\n]*)*")

_Facts = Mapping[str, Any]
_Meaning = Callable[[_Facts], Any]


def check(text: str) -> None:
    """Check that a `parsed_query` is in Camio's restricted Python. Raises QueryError."""
    _meaning(text)


def evaluate(text: str, *, camera: str, labels: Sequence[str], date: datetime) -> bool:
    """Return whether an event of `camera`, with `labels` on it, that began at `date` matches the query.

    Every part is evaluated as in Python. Raises QueryError for a query that `check` refuses, and for values
    that cannot be compared, as in ``camera < 3``.
    """
    return bool(_meaning(text)({"camera": camera, "labels": list(labels), "date": date}))


def _meaning(text: str) -> _Meaning:
    _refuse_unreadable(text)
    reader = _Reader(text)
    return reader.read(reader.tree())


def _refuse_unreadable(text: str) -> None:
    if len(text) > MAX_LENGTH:
        raise QueryError(f"the query has {len(text)} characters; the limit is {MAX_LENGTH}", MAX_LENGTH)
    if not text.strip():
        raise QueryError("the query is empty; to match every event, write 1==1", 0)
    for offset, char in enumerate(text):
        if unicodedata.category(char) in ("Cc", "Cs") and char not in "\t\n":
            raise QueryError("a query must not contain a control character or a byte that is not Unicode", offset)


class _Step(NamedTuple):
    """One comparison of a chain such as ``8 <= date.hour < 18``; `offset` is the sign's place in the text."""

    symbol: str
    compare: Callable[[Any, Any], object]
    offset: int
    right: _Meaning

    def result(self, left: object, right: object) -> object:
        try:
            return self.compare(left, right)
        except TypeError:
            one, other = _KINDS[type(left)], _KINDS[type(right)]
            if self.compare in (_is_in, _is_not_in):
                raise QueryError(f"cannot look for {one} in {other}", self.offset) from None
            raise QueryError(f"cannot compare {one} with {other} by {self.symbol}", self.offset) from None


class _Reader:
    """Reads the tree of one query, and finds the place of each node in its text."""

    def __init__(self, text: str) -> None:
        # Python's parser takes leading blanks for an indentation.
        self._body = text.lstrip()
        self._start = len(text) - len(self._body)
        self._lines = self._body.split("\n")

    def tree(self) -> ast.expr:
        try:
            with warnings.catch_warnings():
                # Camio may read in another way what Python only warns of, such as an unknown escape within quotes.
                warnings.simplefilter("error")
                return ast.parse(self._body, mode="eval").body
        except SyntaxError as error:
            raise self._syntax_error(error) from None
        except (RecursionError, MemoryError):
            raise QueryError("the query is nested too deep", self._start) from None

    def read(self, node: ast.expr, depth: int = 1) -> _Meaning:
        """Return a function from an event's facts to the value of `node`. Raises QueryError."""
        self._refuse_depth(node, depth)
        match node:
            case ast.BoolOp(op=op, values=values):
                return _joined([self.read(value, depth + 1) for value in values], isinstance(op, ast.Or))
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return _negated(self.read(operand, depth + 1))
            case ast.Compare(left=left):
                return _compared(self.read(left, depth + 1), list(self._steps(node, depth + 1)))
            case ast.Name(id=name) if name in query_hints.NAMES:
                return operator.itemgetter(name)
            case ast.Attribute(value=ast.Name(id="date"), attr=attribute):
                return self._part_of_date(node, attribute)
            case _:
                value = self._literal(node, depth)
                return lambda _facts: value

    def _steps(self, node: ast.Compare, depth: int) -> Iterator[_Step]:
        lefts = [node.left, *node.comparators]
        for left, sign, right in zip(lefts, node.ops, node.comparators, strict=False):
            if hint := _IDENTITIES.get(type(sign)):
                raise QueryError(hint, self._behind(left))
            symbol, compare = _SIGNS[type(sign)]
            yield _Step(symbol, compare, self._behind(left), self.read(right, depth))

    def _part_of_date(self, node: ast.Attribute, attribute: str) -> _Meaning:
        if attribute not in query_hints.DATE_ATTRIBUTES:
            raise QueryError(query_hints.no_such_part(attribute), self._behind(node.value))
        return lambda facts: getattr(facts["date"], attribute)

    def _literal(self, node: ast.expr, depth: int) -> object:
        self._refuse_depth(node, depth)
        match node:
            case ast.Constant(value=bool() | int() | float() | str() | None):
                return node.value
            case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as number)) if (
                number is not True and number is not False
            ):
                return -number
            case ast.List(elts=items):
                return [self._literal(item, depth + 1) for item in items]
            case ast.Tuple(elts=items):
                return tuple([self._literal(item, depth + 1) for item in items])
            case _:
                wrong = self._behind(node.left) if isinstance(node, ast.BinOp) else self._place_of(node)
                raise QueryError(query_hints.refusal(node), wrong)

    def _refuse_depth(self, node: ast.expr, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise QueryError(f"the query is nested more than {MAX_DEPTH} deep", self._place_of(node))

    def _syntax_error(self, error: SyntaxError) -> QueryError:
        if slip := query_hints.slip(self._body):
            return QueryError(slip[0], self._start + slip[1])
        if not error.lineno or not error.offset:
            return QueryError("the query ends too early", self._start + len(self._body.rstrip()))
        # Unlike a node's column, that of a SyntaxError counts characters, and from 1.
        offset = self._line_start(error.lineno) + error.offset - 1
        return QueryError(f"the query cannot be read: {error.msg}", self._start + min(offset, len(self._body)))

    def _line_start(self, line: int) -> int:
        return sum(len(earlier) + 1 for earlier in self._lines[: line - 1])

    def _place_of(self, node: ast.expr) -> int:
        return self._place(node.lineno, node.col_offset)

    def _place(self, line: int, column: int) -> int:
        """Return the offset in the text of a node's `line` (from 1) and `column` (from 0, in bytes of UTF-8)."""
        characters = len(self._lines[line - 1].encode()[:column].decode())
        return self._start + self._line_start(line) + characters

    def _behind(self, node: ast.expr) -> int:
        """Return the offset of what follows `node`: an operator, or the name of a part of it."""
        end = self._place(node.end_lineno or node.lineno, node.end_col_offset or node.col_offset) - self._start
        skipped = _NOTHING.match(self._body, end)
        return self._start + (skipped.end() if skipped else end)


def _joined(parts: list[_Meaning], is_or: bool) -> _Meaning:
    def meaning(facts: _Facts) -> object:
        value: object = None
        for part in parts:
            value = part(facts)
            if bool(value) is is_or:
                break
        return value

    return meaning


def _negated(part: _Meaning) -> _Meaning:
    return lambda facts: not part(facts)


def _compared(first: _Meaning, steps: list[_Step]) -> _Meaning:
    def meaning(facts: _Facts) -> object:
        left: object = first(facts)
        result: object = True
        for step in steps:
            right = step.right(facts)
            result = step.result(left, right)
            if not result:
                break
            left = right
        return result

    return meaning
