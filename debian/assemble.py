"""Puts the package's files together: a private CPython, the wheels that the daemon needs, the daemon, its model.

    python3.11 debian/assemble.py FETCHED WHEEL DESTINATION     (with FETCHED/tools on PYTHONPATH)

FETCHED is the folder that `debian/fetch` filled, WHEEL the daemon's own. What is left out is never imported. Every
module is compiled beforehand, so that no run, not even root's, writes into the package's folders; of others' modules
the compiled ones alone are installed, which saves 17 MB.
"""

import compileall
import shutil
import sys
from collections.abc import Iterable
from importlib.metadata import Distribution, distributions
from pathlib import Path
from py_compile import PycInvalidationMode
from zipfile import ZipFile

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

HOME = Path("usr/lib/camiohookd")
LIBRARY = HOME / "lib/python3.11"
PACKAGES = LIBRARY / "dist-packages"  # where Debian's CPython looks beside its own library
MODELS = Path("usr/share/camiohookd/models")

NEVER_IMPORTED = {"flatbuffers", "packaging", "protobuf"}
"""Of what onnxruntime requires: only the tools for making models need it, which are left out as well."""

REMOVED_FROM_LATER_PYTHONS = [
    "aifc",
    "asynchat",
    "asyncore",
    "cgi",
    "cgitb",
    "chunk",
    "crypt",
    "imghdr",
    "imp",
    "mailcap",
    "nntplib",
    "pipes",
    "smtpd",
    "sndhdr",
    "sunau",
    "telnetlib",
    "uu",
    "xdrlib",
]
FOR_DEVELOPERS_AND_MAIL = [
    "antigravity",
    "bdb",
    "cProfile",
    "doctest",
    "ftplib",
    "imaplib",
    "mailbox",
    "modulefinder",
    "pdb",
    "pickletools",
    "poplib",
    "profile",
    "pstats",
    "pyclbr",
    "pydoc",
    "rlcompleter",
    "tabnanny",
    "this",
    "trace",
    "turtle",
    "webbrowser",
    "zipapp",
]
DOUBLES_OF_EXTENSIONS = ("_pydecimal", "_pyio")
PYTHON_UNUSED = (
    *(f"{name}.py" for name in (*REMOVED_FROM_LATER_PYTHONS, *FOR_DEVELOPERS_AND_MAIL, *DOUBLES_OF_EXTENSIONS)),
    "EXTERNALLY-MANAGED",
    "__phello__",
    "_distutils_system_mod.py",
    "curses",
    "dbm",
    "distutils",
    "lib-dynload/_codecs_*",  # of Chinese, Japanese and Korean
    "lib-dynload/_crypt.*",
    "lib-dynload/_ctypes_test.*",
    "lib-dynload/_curses*",
    "lib-dynload/_dbm.*",
    "lib-dynload/_lsprof.*",
    "lib-dynload/_test*",
    "lib-dynload/_xxtest*",
    "lib-dynload/audioop.*",
    "lib-dynload/nis.*",
    "lib-dynload/ossaudiodev.*",
    "lib-dynload/readline.*",
    "lib-dynload/xxlimited*",
    "pydoc_data",
    "test",
    "venv",
    "xmlrpc",
)
WHEELS_UNUSED = (
    "*.dist-info/INSTALLER",
    "*.dist-info/RECORD",
    "*.dist-info/REQUESTED",
    "*.dist-info/entry_points.txt",
    "*.dist-info/licen[cs]es",  # they are in the package's copyright file
    "*.dist-info/sboms",
    "**/*.pyi",
    "**/py.typed",
    "PIL/_avif.*",
    "PIL/_imagingcms.*",
    "charset_normalizer/*.so",  # its own Python does the same
    "numpy/**/include",
    "numpy/**/tests",
    "numpy/_core/*_tests.*.so",
    "numpy/_core/_simd.*.so",
    "numpy/_core/lib",
    "numpy/_pyinstaller",
    "numpy/distutils",
    "numpy/f2py",
    "numpy/random",
    "numpy/testing",
    "onnxruntime/LICENSE",
    "onnxruntime/Privacy.md",
    "onnxruntime/ThirdPartyNotices.txt",
    "onnxruntime/backend",
    "onnxruntime/capi/libonnxruntime.so.*",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "pillow.libs/libavif-*",
    "pillow.libs/liblcms2-*",
    "tornado/test",
)


def main(fetched: Path, wheel: Path, destination: Path) -> None:
    library, packages = destination / LIBRARY, destination / PACKAGES
    copy_python(fetched / "python", destination / HOME)
    remove(library, PYTHON_UNUSED)
    copy_wheels(fetched / "wheels", wheel, packages)
    remove(packages, WHEELS_UNUSED)
    compile_modules(packages, destination, instead=True)
    compile_modules(library, destination, instead=True, documented=False)
    ZipFile(wheel).extractall(packages)
    compile_modules(packages / "camiohookd", destination, instead=False)
    copy_models(Path("models"), destination / MODELS)


def copy_python(unpacked: Path, home: Path) -> None:
    (home / "bin").mkdir(parents=True)
    shutil.copy2(unpacked / "usr/bin/python3.11", home / "bin")
    shutil.copytree(
        unpacked / "usr/lib/python3.11",
        home / "lib/python3.11",
        # The first leads to a file of Debian's python3; the second it has from running pip.
        ignore=shutil.ignore_patterns("sitecustomize.py", "__pycache__"),
    )


def copy_wheels(unpacked: Path, daemon: Path, packages: Path) -> None:
    """What the daemon needs of them, which is less than the lock file names: that has the build's own tools, too."""
    for distribution in needed(unpacked, daemon):
        for file in distribution.files or ():
            if ".." not in file.parts:  # a command of its own
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(str(file.locate()), packages / file)


def needed(unpacked: Path, daemon: Path) -> list[Distribution]:
    """The distributions in `unpacked` that the wheel `daemon` requires, and those that these require."""
    known = {canonicalize_name(each.name): each for each in distributions(path=[str(unpacked), str(daemon)])}
    found: set[str] = set()
    waiting = ["camiohookd"]
    while waiting:
        name = waiting.pop()
        if name not in found | NEVER_IMPORTED:
            found.add(name)
            wanted = map(Requirement, known[name].requires or ())
            waiting += [canonicalize_name(each.name) for each in wanted if not each.marker or each.marker.evaluate()]
    return [known[name] for name in sorted(found - {"camiohookd"})]


def copy_models(models: Path, target: Path) -> None:
    """Without the scripts and inputs that a model was made with."""
    for description in models.glob("*/model.toml"):
        folder = target / description.parent.name
        folder.mkdir(parents=True)
        for file in (description, *description.parent.glob("*.onnx"), *description.parent.glob("LICENSE*")):
            shutil.copy2(file, folder)


def remove(folder: Path, patterns: Iterable[str]) -> None:
    """Each pattern has to match something: else a newer version of what is removed goes by another name."""
    for pattern in patterns:
        matches = list(folder.glob(pattern))
        if not matches:
            sys.exit(f"debian/assemble.py: nothing in {folder} matches {pattern}, which is to be left out")
        for path in matches:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def compile_modules(folder: Path, root: Path, *, instead: bool, documented: bool = True) -> None:
    """`instead`: the compiled modules take the sources' place; else both are there. `documented`: with docstrings.

    With hashes that nobody checks: a time in them would differ from build to build, and be looked at in each run.
    """
    compiled = compileall.compile_dir(
        folder,
        maxlevels=100,
        quiet=1,
        optimize=0 if documented else 2,
        legacy=instead,
        stripdir=str(root),
        prependdir="/",
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        sys.exit("debian/assemble.py: not all modules could be compiled")
    if instead:
        for source in folder.rglob("*.py"):
            source.unlink()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
