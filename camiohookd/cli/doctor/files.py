"""Check the owner's files: settings without effect, permissions of secrets, strength of keys."""

import stat
from collections.abc import Mapping
from pathlib import Path

from camiohookd import rules
from camiohookd.cli.doctor.findings import Findings, Group
from camiohookd.config import admin_password, key_strength, load, toml_file
from camiohookd.config.load import Config
from camiohookd.daemon.setup import Setup
from camiohookd.errors import SetupError
from camiohookd.labelers.open import known_labels

_OTHERS = stat.S_IRWXO


def check_settings(found: Setup, path: Path) -> Findings:
    """Report rules that have no effect. `found` was read from `path`, so the settings are valid."""
    group = Group("settings")
    yield group.ok("settings", str(path) if path.exists() else f"{path} does not exist: the defaults are used")
    try:
        known = known_labels(found.config.labelers)
    except SetupError:  # `check_labelers` reports it
        known = None
    for problem in rules.problems(found.config.rule, known):
        yield group.warning("rules", problem)


def check_files(found: Setup, path: Path) -> Findings:
    """Report files that every user of this machine can change, and files with secrets that every user can read."""
    group = Group("files")
    for file, is_secret in _owners_files(found.config, path).items():
        does = is_open_to_all(file)
        if does is None or (does == "read" and not is_secret):
            yield group.ok(file.name, f"{file}: other users cannot {'read' if is_secret else 'change'} it")
        else:
            advice = f"sudo chmod {'o-rwx' if is_secret else 'o-w'} {file}"
            yield group.failed(file.name, f"{file}: every user of this machine can {does} it", advice)


def check_keys(keys: Mapping[str, str]) -> Findings:
    """Report keys that could be guessed."""
    group = Group("keys")
    for name, key in keys.items():
        if key_strength.is_weak(key):
            yield group.failed(
                f'key "{name}"',
                "it could be guessed: it is too short, or has too few different characters",
                'create a strong one with "sudo camiohookd key new NAME", register the hook with it, retire this one',
            )
        else:
            yield group.ok(f'key "{name}"', "strong")


def is_open_to_all(file: Path) -> str | None:
    """Return "read", "change" or "read and change" if every user can do that to a file; otherwise, or if unknown, None.

    A folder above it that other users cannot enter protects it, too.
    """
    try:
        mode = file.stat().st_mode & _OTHERS
        closed = any(not folder.stat().st_mode & stat.S_IXOTH for folder in file.resolve().parents)
    except OSError:
        return None
    does = [word for bit, word in ((stat.S_IROTH, "read"), (stat.S_IWOTH, "change")) if mode & bit]
    return " and ".join(does) if does and not closed else None


def _owners_files(config: Config, path: Path) -> dict[Path, bool]:
    """Return the existing files, and whether each has a secret; the settings have one if the key is in them."""
    has_key = "api_key" in toml_file.read(path, required=False).tables.get("hook", {})
    files = {path: has_key, load.keys_file(config, path): True, path.with_name(admin_password.FILE_NAME): True}
    for listener in (config.hook, config.admin):
        if listener.tls_cert:
            files[Path(listener.tls_key or listener.tls_cert)] = True
    return {file: is_secret for file, is_secret in files.items() if file.exists()}
