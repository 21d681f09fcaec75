"""Assemble the package's files: a private CPython, the wheels that the daemon needs, the daemon, its model.

    python3.11 debian/assemble.py FETCHED WHEEL DESTINATION     (with FETCHED/tools on PYTHONPATH)

FETCHED is the folder that `debian/fetch` filled; WHEEL is the daemon's own wheel. Modules that are never imported are
left out. Every module is compiled here, so that no run, not even root's, writes into the package's folders. Third-party
modules are installed only in compiled form, which saves 17 MB.
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
PACKAGES = LIBRARY / "dist-packages"  # Debian's CPython also searches this folder
MODELS = Path("usr/share/camiohookd/models")

NEVER_IMPORTED = {"flatbuffers", "packaging", "protobuf"}
"""Requirements of onnxruntime that only its tools for making models need. These tools are left out, too."""

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
    "lib-dynload/_codecs_*",  # Chinese, Japanese and Korean
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
    "unittest",
    "venv",
    "xmlrpc",
)
WHEELS_UNUSED = (
    "*.dist-info/INSTALLER",
    "*.dist-info/RECORD",
    "*.dist-info/REQUESTED",
    "*.dist-info/entry_points.txt",
    "*.dist-info/licen[cs]es",  # the package's copyright file has them
    "*.dist-info/sboms",
    "**/*.pxd",
    "**/*.pyi",
    "**/py.typed",
    "PIL/_avif.*",
    "PIL/_imagingcms.*",
    "certifi/tests",
    "charset_normalizer/*.so",  # its Python modules do the same
    "click/testing.*",
    "numpy/**/include",
    "numpy/**/tests",
    "numpy/_core/*_tests.*.so",
    "numpy/_core/_simd.*.so",
    "numpy/_core/lib",
    "numpy/_pyinstaller",
    "numpy/distutils",
    "numpy/f2py",
    "numpy/ma/testutils.*",
    "numpy/polynomial",
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
    "tornado/testing.*",
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
        # The first is a link to a file of Debian's python3; the second comes from running pip here.
        ignore=shutil.ignore_patterns("sitecustomize.py", "__pycache__"),
    )


def copy_wheels(unpacked: Path, daemon: Path, packages: Path) -> None:
    """Copy the wheels that the daemon needs. The lock file also names the tools of the build."""
    for distribution in needed(unpacked, daemon):
        for file in distribution.files or ():
            if ".." not in file.parts:  # skip commands, which are outside the packages
                (packages / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(str(file.locate()), packages / file)


def needed(unpacked: Path, daemon: Path) -> list[Distribution]:
    """Return the distributions in `unpacked` that the wheel `daemon` requires, directly or indirectly."""
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
    """Copy each model without the scripts and inputs that made it."""
    for description in models.glob("*/model.toml"):
        folder = target / description.parent.name
        folder.mkdir(parents=True)
        for file in (description, *description.parent.glob("*.onnx"), *description.parent.glob("LICENSE*")):
            shutil.copy2(file, folder)


def remove(folder: Path, patterns: Iterable[str]) -> None:
    """Remove the files that match the patterns. If one matches nothing, a name has changed: end the build."""
    for pattern in patterns:
        matches = list(folder.glob(pattern))
        if not matches:
            sys.exit(f"debian/assemble.py: nothing in {folder} matches {pattern}: correct the pattern or delete it")
        for path in matches:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)


def compile_modules(folder: Path, root: Path, *, instead: bool, documented: bool = True) -> None:
    """Compile all modules. `instead` replaces the sources; otherwise both are kept. `documented` keeps docstrings.

    Use unchecked hashes: time stamps would differ between builds, and each run would check them.
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
        sys.exit("debian/assemble.py: some modules cannot be compiled; the errors are above")
    if instead:
        for source in folder.rglob("*.py"):
            source.unlink()


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
