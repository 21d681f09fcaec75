"""A program that runs commands of camiohookd as an ordinary user, also where root starts it.

Each line of standard input is JSON, [arguments, environment]; each line of standard output is the result,
[exit status or traceback, standard output, standard error]. Everything is imported before root's rights are given up,
because others may not be permitted to read the checkout, or root's Python.
"""

import contextlib
import encodings
import importlib
import io
import json
import os
import pkgutil
import signal
import traceback

from PIL import Image

import camiohookd
from camiohookd.cli import run
from tests.support.users import NOBODY

SECONDS = 60
"""A command that takes longer is killed by SIGALRM, and this program with it."""


def import_everything() -> None:
    for module in pkgutil.walk_packages(camiohookd.__path__, "camiohookd."):
        if module.name not in ("camiohookd.__main__", "camiohookd.examples.labeler"):
            importlib.import_module(module.name)
    for codec in pkgutil.iter_modules(encodings.__path__, "encodings."):
        with contextlib.suppress(ImportError):  # those of other systems
            importlib.import_module(codec.name)
    importlib.import_module("onnxruntime")
    Image.init()


def become_ordinary() -> None:
    os.chdir("/")
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def result_of(arguments: list[str]) -> tuple[int | str, str, str]:
    status: int | str
    signal.alarm(SECONDS)
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as errors:
        try:
            status = run(arguments)
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else str(end.code)
        except Exception:  # noqa: BLE001  # whatever a command raises is its result
            status = traceback.format_exc()
    return status, out.getvalue(), errors.getvalue()


if __name__ == "__main__":
    import_everything()
    become_ordinary()
    requests = os.fdopen(os.dup(0))
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # a command may read from standard input
    for line in requests:
        given, environ = json.loads(line)
        os.environ.update(environ)
        print(json.dumps(result_of(given)), flush=True)
        for name in environ:
            del os.environ[name]
