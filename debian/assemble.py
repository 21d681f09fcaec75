"""Puts the package's files together: a private CPython, the wheels that the daemon needs, the daemon, its model.

    python3.11 debian/assemble.py FETCHED WHEEL DESTINATION     (with FETCHED/tools on PYTHONPATH)

FETCHED is the folder that `debian/fetch` filled, WHEEL the daemon's own. Of what is left out nothing is ever imported; of the rest every module
is compiled beforehand, so that no run, not even root's, writes into the package's folders.
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

PYTHON_UNUSED = (
    "EXTERNALLY-MANAGED",
    "__phello__",
    "_distutils_system_mod.py",
    "_sysconfigdata__*",
    "curses",
    "dbm",
    "distutils",
    "lib-dynload/_crypt.*",
    "lib-dynload/_ctypes_test.*",
    "lib-dynload/_curses*",
    "lib-dynload/_dbm.*",
    "lib-dynload/_test*",
    "lib-dynload/_xxtest*",
    "lib-dynload/nis.*",
    "lib-dynload/ossaudiodev.*",
    "lib-dynload/readline.*",
    "lib-dynload/xxlimited*",
    "pydoc_data",
    "sitecustomize.py",
    "test",
    "turtle.py",
    "venv",
)
WHEELS_UNUSED = (
    "*.dist-info/INSTALLER",
    "*.dist-info/REQUESTED",
    "*.dist-info/entry_points.txt",
    "*.dist-info/sboms",
    "**/*.pyi",
    "**/py.typed",
    "PIL/_avif.*",
    "numpy/**/include",
    "numpy/**/tests",
    "numpy/_core/*_tests.*.so",
    "numpy/_core/lib",
    "numpy/distutils",
    "numpy/f2py",
    "numpy/**/*.pxd",
    "numpy/random/lib",
    "onnxruntime/backend",
    "onnxruntime/capi/libonnxruntime.so.*",
    "onnxruntime/datasets",
    "onnxruntime/quantization",
    "onnxruntime/tools",
    "onnxruntime/transformers",
    "pillow.libs/libavif-*",
    "tornado/test",
)


def main(fetched: Path, wheel: Path, destination: Path) -> None:
    library, packages = destination / LIBRARY, destination / PACKAGES
    copy_python(fetched / "python", destination / HOME)
    ZipFile(wheel).extractall(packages)
    copy_wheels(fetched / "wheels", packages)
    copy_models(Path("models"), destination / MODELS)
    remove(library, PYTHON_UNUSED)
    remove(packages, WHEELS_UNUSED)
    compile_all(library, Path("/") / LIBRARY)


def copy_python(unpacked: Path, home: Path) -> None:
    (home / "bin").mkdir(parents=True)
    shutil.copy2(unpacked / "usr/bin/python3.11", home / "bin")
    shutil.copytree(unpacked / "usr/lib/python3.11", home / "lib/python3.11", symlinks=True)


def copy_wheels(unpacked: Path, packages: Path) -> None:
    """What the daemon needs of them, which is less than the lock file names: that has the build's own tools, too."""
    for distribution in needed("camiohookd", packages, unpacked):
        for file in distribution.files or ():
            if ".." in file.parts or (packages / file).exists():  # a script of its own; the daemon's, which is there
                continue
            (packages / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(file.locate()), packages / file)


def needed(name: str, *folders: Path) -> Iterable[Distribution]:
    """The distribution of that name in `folders`, and all that it requires."""
    known = {canonicalize_name(each.name): each for each in distributions(path=[str(folder) for folder in folders])}
    found: dict[str, Distribution] = {}
    waiting = [name]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found[name] = known[name]
            wanted = map(Requirement, known[name].requires or ())
            waiting += [canonicalize_name(each.name) for each in wanted if not each.marker or each.marker.evaluate()]
    return found.values()


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


def compile_all(library: Path, installed: Path) -> None:
    """With hashes that nobody checks: a time in them would differ from build to build, and be looked at in each run."""
    compiled = compileall.compile_dir(
        library,
        maxlevels=100,
        quiet=1,
        stripdir=str(library),
        prependdir=str(installed),
        invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
    )
    if not compiled:
        sys.exit("debian/assemble.py: not all modules could be compiled")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
