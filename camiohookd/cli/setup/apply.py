"""Write the answers of `camiohookd setup`, and let the service use them.

changes ─▶ the edited text, checked as a whole ─▶ key and password ─▶ the file ─▶ systemctl reload or restart
"""

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from camiohookd.config import admin_password, api_keys, load, owner_file, settings_editor, toml_file
from camiohookd.errors import CamiohookdError
from camiohookd.system import permissions, service

if TYPE_CHECKING:
    from camiohookd.config.load import Config
    from camiohookd.config.settings_editor import SettingChanges

KEY_NAME = "camio"
"""The name of a new key; the package uses the same name."""


def check_writable(file: Path) -> None:
    """Raise CamiohookdError if this user cannot replace the settings file. Call this before any question."""
    folder = file.parent
    if not folder.exists():
        folder = next(each for each in folder.absolute().parents if each.exists())
    if not os.access(folder, os.W_OK | os.X_OK):
        raise CamiohookdError(f"{file}: cannot be written{permissions.remedy(file) or f'; {folder} is read-only'}")


def has_password(file: Path) -> bool:
    """Return whether there is a password for the status page beside the settings file."""
    return file.with_name(admin_password.FILE_NAME).exists()


def edited(file: Path, changed: "SettingChanges") -> str:
    """Return the text of the settings file with the changes. A new file starts as the example with all settings."""
    from camiohookd.config import reference

    text = toml_file.read(file, required=True).text if file.exists() else reference.example_config()
    return settings_editor.set_values(text, changed)


def present_lines(file: Path, changed: "SettingChanges") -> dict[tuple[str, str], str]:
    """Return the present values, as TOML, of the changed settings that the file has."""
    tables = toml_file.read(file, required=False).tables
    return {
        (section, key): settings_editor.as_value(tables[section][key])
        for section, key in changed
        if key in tables.get(section, {})
    }


def checked(text: str) -> "Config":
    """Return the settings in `text`. Raises ConfigError if they are wrong."""
    with tempfile.TemporaryDirectory(prefix="camiohookd-setup-") as folder:
        file = Path(folder, "camiohookd.toml")
        file.write_text(text, encoding="utf-8")
        return load.load_config(file, os.environ)


def write_secrets(file: Path, new: "Config", password: str | None) -> None:
    """Write the password of the status page if one is given, and create a key if there is none.

    Both files are beside the settings file `file`. Raises CamiohookdError.
    """
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if password is not None:
        admin_password.write(file.with_name(admin_password.FILE_NAME), password)
    keys = load.keys_file(new, file)
    if not new.hook.api_key and not (keys.exists() and api_keys.read(keys)):
        api_keys.add(keys, KEY_NAME)


def try_as_the_service(file: Path, text: str) -> None:
    """Check the settings as the service before they are written: can it read the certificate, bind the ports, ...?

    Raises CamiohookdError with the output of the check.
    """
    trial = file.with_name(f".{file.name}.setup")
    owner_file.replace(trial, text)
    try:
        ended = service.run("check", "--as-me", "--config", str(trial))
    finally:
        trial.unlink()
    if ended.status:
        said = ended.output.strip().replace(str(trial), str(file))
        raise CamiohookdError(f"the settings were not written, because the service could not start with them: {said}")


def write(file: Path, text: str) -> None:
    """Write the settings if they changed. Raises CamiohookdError."""
    if not file.exists() or toml_file.read(file, required=True).text != text:
        owner_file.replace_settings(file, text)


def apply(old: "Config", new: "Config", *, is_service: bool) -> str:
    """Reload or restart the service, and return a sentence on what was done. Raises CamiohookdError."""
    from camiohookd.daemon.reload import needs_restart

    if not is_service:
        return "To use these settings, restart the daemon: camiohookd serve"
    if service.is_active() and not needs_restart(old, new):
        service.reload()
        return "Reloaded the service: it uses these settings."
    service.restart()
    return "Restarted the service: it uses these settings."
