"""Write the package's copyright file: debian/copyright, and a paragraph for each bundled component.

    python3.11 debian/notices.py FETCHED WHEEL FILE     (with FETCHED/tools on PYTHONPATH)

The licenses come from the wheels, CPython's package and the model. The format is Debian's
(https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/). A component without a license ends the build.
"""

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from importlib.metadata import Distribution
from pathlib import Path

from assemble import HOME, LIBRARY, MODELS, PACKAGES, needed

_LICENSE_FILE = re.compile(r"(LICEN[CS]E|COPYING|NOTICE|ThirdPartyNotices)[^/]*$", re.IGNORECASE)
_HOLDER = re.compile(r"^\W*(copyright (?:\(c\)|©|\d).*?)\W*$", re.IGNORECASE | re.MULTILINE)
_COMMON = {
    "Apache-2.0": r"^ *(?:Apache License\s+(?:Version 2\.0, January 2004\s+)?(?:https?://\S+\s+)?)?"
    r"TERMS AND CONDITIONS FOR USE, REPRODUCTION, AND DISTRIBUTION\s.*?of your accepting any such warranty or "
    r"additional\s+liability\.(?:\s+END OF TERMS AND CONDITIONS)?"
    r"(?:\s+APPENDIX: How to.*?limitations under the License\.)?",
    "GPL-3": r"^ *GNU GENERAL PUBLIC LICENSE\s+Version 3, 29 June 2007.*?why-not-lgpl\.html>\.",
}
_MOST_HOLDERS = 40


def main(fetched: Path, wheel: Path, file: Path) -> None:
    paragraphs = [Path("debian/copyright").read_text().rstrip("\n")]
    python = (fetched / "python/usr/share/doc/libpython3.11-minimal/copyright").read_text()
    paragraphs.append(_paragraph([f"{HOME}/bin/*", f"{LIBRARY}/*"], "Python", [python]))
    paragraphs += [
        _paragraph(sorted(_folders(each)), _name(each), list(_texts(each)))
        for each in needed(fetched / "wheels", wheel)
    ]
    for description in sorted(Path("models").glob("*/model.toml")):
        model, name = description.parent, tomllib.loads(description.read_text())["licence"]
        paragraphs.append(_paragraph([f"{MODELS}/{model.name}/*"], name, [(model / "LICENSE").read_text()]))
    file.write_text("\n\n".join(paragraphs) + "\n")


def _folders(distribution: Distribution) -> set[str]:
    tops = {file.parts[0] for file in distribution.files or () if ".." not in file.parts}
    return {f"{PACKAGES}/{top}{'' if top.endswith('.py') else '/*'}" for top in tops}


def _name(distribution: Distribution) -> str:
    """Return the license's short name, as the wheel's metadata gives it."""
    said = distribution.metadata.get("License-Expression") or distribution.metadata.get("License") or ""
    short = said.replace(" AND ", ", ").split(",")[0].split("\n")[0].removesuffix(" License").strip()
    return short.replace(" ", "-") or sys.exit(
        f"debian/notices.py: {distribution.name} names no license in its metadata"
    )


def _texts(distribution: Distribution) -> Iterator[str]:
    for file in sorted(distribution.files or (), key=str):
        if _LICENSE_FILE.search(str(file)) and file.suffix != ".py":
            yield Path(str(file.locate())).read_text(errors="replace")


def _paragraph(files: list[str], name: str, texts: list[str]) -> str:
    if not texts:
        sys.exit(f"debian/notices.py: no license text found for {', '.join(files)}")
    holders = list(dict.fromkeys(match.strip() for text in texts for match in _HOLDER.findall(text)))
    lines = ["Files:", *(f" {each}" for each in files), "Copyright:"]
    lines += [f" {holder}" for holder in holders[:_MOST_HOLDERS] or ["see the text"]]
    lines += [f"License: {name}"]
    return "\n".join((*lines, *_indented("\n\n".join(map(_without_common, texts)))))


def _without_common(text: str) -> str:
    for name, pattern in _COMMON.items():
        instead = f"(The text of {name} is in /usr/share/common-licenses/{name}.)"
        text = re.sub(pattern, instead, text, flags=re.DOTALL | re.MULTILINE)
    return text


def _indented(text: str) -> Iterable[str]:
    lines = re.sub(r"\n{3,}", "\n\n", text.replace("\r", "").expandtabs().strip()).split("\n")
    return (f" {line.rstrip()}" if line.strip(" .") else " ." for line in lines)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
