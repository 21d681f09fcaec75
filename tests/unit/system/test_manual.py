"""Messages name pages of the manual that exist."""

import re

from camiohookd.system import manual
from tests.support.checkout import ROOT


def test_every_page_that_is_named_exists() -> None:
    sources = [*(ROOT / "camiohookd").rglob("*.py"), *(ROOT / "camiohookd").rglob("*.html")]
    named = {name for file in sources for name in re.findall(r"manual\.page\([\"']([^\"']+)", file.read_text())}
    assert len(named) >= 6
    assert [name for name in named if not (ROOT / manual.page(name)).is_file()] == []


def test_no_message_of_a_command_names_a_page_that_is_only_in_a_checkout() -> None:
    files = [*(ROOT / "camiohookd/cli").rglob("*.py"), *(ROOT / "camiohookd/web").rglob("*")]
    texts = {file: file.read_text() for file in files if file.suffix in {".py", ".html"}}
    code = {file: re.sub(r'"""[\s\S]*?"""|#.*', "", text) for file, text in texts.items()}
    assert [file for file, text in code.items() if re.search(r"docs/[a-z-]+\.md", text)] == []
