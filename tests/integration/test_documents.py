"""The documents: links lead somewhere, commands and options exist, settings are real, questions have answers."""

import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from camiohookd.cli import root
from camiohookd.config import load
from camiohookd.config.rule import Rule
from camiohookd.config.tables import variable
from tests.support.checkout import ROOT
from tests.support.document_links import LINK, documents, with_lines

PAGES = documents()
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]
CODE = re.compile(r"^```.*?^```", re.DOTALL | re.MULTILINE)
README_LINES = 150


def each_page(texts: list[Path] = PAGES) -> Iterator[tuple[Path, str]]:
    for page in texts:
        yield page, page.read_text()


def anchors(text: str) -> set[str]:
    """Return the anchors of the headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.*)", CODE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


def links(text: str) -> list[str]:
    return re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", text))


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files_headings_and_lines_that_exist(name: str) -> None:
    page = ROOT / name
    for link in links(page.read_text()):
        if link.startswith(("https://", "http://", "mailto:")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if re.fullmatch(r"L\d+", anchor):
            assert int(anchor[1:]) <= len(target.read_text().splitlines()), link
        elif anchor:
            assert anchor in anchors(target.read_text()), link


def test_links_to_code_name_the_line_of_the_definition() -> None:
    """A link such as [`TaskQueue.put`](../../camiohookd/queue/task_queue.py#L10) leads to the line that defines it."""
    texts = dict(each_page())
    assert sum(len(LINK.findall(text)) for text in texts.values()) >= 10
    for page, text in texts.items():
        assert text == with_lines(page), "run ./build.sh docs"


def typed(text: str) -> Iterator[list[str]]:
    """Yield the words of each camiohookd command in a page's code blocks and code spans."""
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    spans = re.findall(r"`([^`\n]+)`", CODE.sub("", text))
    for line in [*"\n".join(blocks).replace("\\\n", " ").splitlines(), *spans]:
        command = re.match(r"(?:sudo )?(?:[A-Z_]+='[^']*' )?camiohookd (?=[a-z-])(.*)", line.strip())
        if command:
            yield shlex.split(re.split(r"\s[|>&]", command[1])[0], comments=True)


@pytest.mark.parametrize("name", NAMES)
def test_commands_and_their_options_exist(name: str) -> None:
    for words in typed((ROOT / name).read_text()):
        command: click.Command = root
        context = click.Context(command)
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            step = command.get_command(context, words.pop(0))
            assert step is not None, words
            command = step
        known = {option for parameter in command.params for option in parameter.opts} | {"--help", "--version"}
        for word in words:
            if word.startswith("--"):
                assert word.partition("=")[0] in known, f"{command.name} {word}"


@pytest.mark.parametrize("name", NAMES)
def test_settings_in_the_documents_exist(name: str, tmp_path: Path) -> None:
    text = (ROOT / name).read_text()
    for number, block in enumerate(re.findall(r"^```toml\n(.*?)^```", text, re.DOTALL | re.MULTILINE)):
        path = tmp_path / f"{number}.toml"
        path.write_text(block)
        load.load_config(path, {})
    for section, key in re.findall(r"`\[(\w+)\] (\w+)`", text):
        assert key in load.SECTIONS[section].__struct_fields__, f"[{section}] {key}"
    for named in re.findall(r"CAMIOHOOKD_[A-Z]+_[A-Z_]+", text):
        assert named in {variable(s, k) for s, kind in load.SECTIONS.items() for k in kind.__struct_fields__}


def test_names_of_settings_in_code_spans_exist() -> None:
    """A code span with an underscore in an owner's page is a setting, or a name that the page explains."""
    known = {key for kind in (*load.SECTIONS.values(), Rule) for key in kind.__struct_fields__}
    known |= {"compute_labels", "callback_url", "camiohookd_degraded", "image_b64"}
    for page, text in each_page([page for page in PAGES if page.parent == ROOT / "docs"]):
        for span in re.findall(r"`([a-z]+(?:_[a-z0-9]+)+)`", CODE.sub("", text)):
            assert span in known or span.startswith("camiohookd_"), f"{page.name}: {span}"


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text().splitlines()) <= README_LINES


def test_the_manual_page_lists_the_installed_files() -> None:
    page = (ROOT / "debian/manpages.py").read_text()
    for line in (ROOT / "debian/camiohookd.install").read_text().splitlines():
        source, target = line.split()
        if target != "usr/bin":
            assert f'"/{target}/{Path(source).name}"' in page, line


def test_file_names_of_the_package_have_the_current_version() -> None:
    version = (ROOT / "debian/changelog").read_text().partition("(")[2].partition(")")[0]
    for page, text in each_page():
        assert set(re.findall(r"camiohookd_(\d[^_]*)_", text)) <= {version}, page.name


def test_the_picture_of_the_packages_has_the_layers_of_import_linter() -> None:
    layers = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"][0]["layers"]
    picture = (ROOT / "docs/internals/architecture.md").read_text()
    drawn = re.findall(r"^ *\d+  ((?:\w+ \| )*\w+)  ", picture, re.MULTILINE)
    assert drawn == layers


def test_each_row_of_what_grows_has_a_test() -> None:
    text = (ROOT / "docs/internals/on-disk-format.md").read_text().partition("## What grows, and how far\n")[2]
    rows = re.findall(r"^\| [^|]+ \| [^|]+ \| \[test\]\(\.\./\.\./(\S+)\) (`\w+`(?:, `\w+`)*) \|$", text, re.MULTILINE)
    assert len(rows) == len(re.findall(r"^\| ", text, re.MULTILINE)) - 1  # the head
    named = [(file, name) for file, names in rows for name in re.findall(r"\w+", names)]
    assert [(file, name) for file, name in named if f"def {name}(" not in (ROOT / file).read_text()] == []
