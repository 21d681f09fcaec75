"""The type of arguments and options that name a file or folder to be read."""

import os
from pathlib import Path
from typing import Any

import click

from camiohookd.system import permissions


class InputFile(click.Path):
    """A path that must exist and be readable. If this user may not read it, the error says what to do.

    With `folders` it may be a folder, without `files` it must be one; with `dash` it may be "-" for standard input.
    """

    def __init__(self, *, files: bool = True, folders: bool = False, dash: bool = False) -> None:
        super().__init__(exists=True, file_okay=files, dir_okay=folders, allow_dash=dash, path_type=Path)

    def convert(self, value: "str | os.PathLike[str]", param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if self.allow_dash and os.fspath(value) == "-":
            return super().convert(value, param, ctx)
        try:
            Path(value).stat()
        except PermissionError as error:
            self.fail(f"{click.format_filename(value)!r}: {permissions.reason(error, Path(value))}.", param, ctx)
        except (OSError, ValueError):
            pass  # click reports it
        else:
            if not os.access(value, os.R_OK):
                self.fail(
                    f"{click.format_filename(value)!r} is not readable{permissions.remedy(Path(value))}.", param, ctx
                )
        return super().convert(value, param, ctx)
