"""Write the line numbers of links such as [`TaskQueue.put`](../queue/task_queue.py#L10) into the documents.

Run by ``./build.sh docs`` as ``python -m tests.support.document_links``.
"""

import ast
import re
from pathlib import Path

from tests.support.checkout import ROOT

LINK = re.compile(r"\[`(?P<name>[\w.]+)`\]\((?P<path>[^)#]+\.py)#L(?P<line>\d+)\)")


def documents() -> list[Path]:
    """Return the project's pages."""
    return sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("camiohookd/examples/*.md")])


def line_of(name: str, source: str) -> int:
    """Return the line that defines `name` ("Class.method", "function", "CONSTANT"). Raises LookupError."""
    body = ast.parse(source).body
    *outer, leaf = name.split(".")
    for each in outer:
        body = next(node.body for node in body if isinstance(node, ast.ClassDef) and node.name == each)
    for node in [*body, *(child for parent in body if isinstance(parent, ast.ClassDef) for child in parent.body)]:
        if leaf in _defined(node):
            return node.lineno
    raise LookupError(name)


def _defined(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {target.id for target in targets if isinstance(target, ast.Name)}


def with_lines(page: Path) -> str:
    """Return the text of `page` with the present line numbers."""

    def link(match: re.Match[str]) -> str:
        source = (page.parent / match["path"]).resolve().read_text()
        return f"[`{match['name']}`]({match['path']}#L{line_of(match['name'], source)})"

    return LINK.sub(link, page.read_text())


if __name__ == "__main__":
    for each in documents():
        each.write_text(with_lines(each))
