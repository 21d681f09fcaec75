"""Load the settings: the TOML file, then the environment on top ─▶ `Config`, frozen and checked.

They are read once, together with the API keys. Every mistake is a ConfigError.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec

from camiohookd.config import api_keys, toml_file
from camiohookd.config.labelers_check import check_labelers
from camiohookd.config.paths import config_file
from camiohookd.config.rule import Rule
from camiohookd.config.settings import (
    KEY_ADVICE,
    AdminSettings,
    CallbackSettings,
    HookSettings,
    ImagesSettings,
    LabelerSettings,
    LogSettings,
    MqttSettings,
    NotifySettings,
    QueueSettings,
)
from camiohookd.config.tables import (
    array_of_tables,
    checked,
    from_environment,
    in_environment,
    tables_within,
    unknown_section,
    variable,
)
from camiohookd.config.toml_file import TomlFile
from camiohookd.errors import ConfigError
from camiohookd.net.addresses import is_loopback
from camiohookd.net.urls import host


class Config(msgspec.Struct, frozen=True):
    """All settings; `rule` in the order of the file.

    `labeler` is the first labeler, or the only one; `more_labelers` are those that follow it.
    """

    hook: HookSettings = HookSettings()
    queue: QueueSettings = QueueSettings()
    labeler: LabelerSettings = LabelerSettings()
    images: ImagesSettings = ImagesSettings()
    callback: CallbackSettings = CallbackSettings()
    admin: AdminSettings = AdminSettings()
    notify: NotifySettings = NotifySettings()
    mqtt: MqttSettings = MqttSettings()
    log: LogSettings = LogSettings()
    rule: tuple[Rule, ...] = ()
    more_labelers: tuple[LabelerSettings, ...] = ()

    @property
    def labelers(self) -> tuple[LabelerSettings, ...]:
        """All labelers, in the order in which they are asked; `required` is set in each."""
        return tuple(
            msgspec.structs.replace(each, required=nth == 0 if each.required is None else each.required)
            for nth, each in enumerate((self.labeler, *self.more_labelers))
        )


_TOP: dict[str, Any] = {
    field.name: field.type for field in msgspec.structs.fields(Config) if field.name not in ("rule", "more_labelers")
}
SECTIONS: dict[str, Any] = {
    name: kind
    for section, settings in _TOP.items()
    for name, kind in (
        (section, settings),
        *((f"{section}.{key}", each) for key, each in tables_within(settings).items()),
    )
}
"""The tables of settings by their names in the file, such as "labeler" and "labeler.remote"."""
_HOMES = {**SECTIONS, "rule": Rule}


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Return the settings of the file `path` and of `environ`, which wins. Raises ConfigError.

    Without a path, the default file is read if it exists. The API keys are not read: see `load_with_keys`.
    """
    return _config_of(_read(path, environ), environ)


def settings_of(file: TomlFile) -> Config:
    """Return the settings of `file` alone, without the environment. Raises ConfigError."""
    return _config_of(file, {})


def load_with_keys(path: Path | None, environ: Mapping[str, str]) -> tuple[Config, dict[str, str]]:
    """Return the settings, as `load_config` does, and the API keys by the name that the log gives them.

    Raises ConfigError also if there is no key, or an unusable one.
    """
    file = _read(path, environ)
    config = _config_of(file, environ)
    keys = {"default": str(config.hook.api_key)} if config.hook.api_key else {}
    listed = _keys_of_the_file(file, config, environ)
    if both := keys.keys() & listed.keys():
        raise ConfigError(
            f'{keys_file(config, file.path)}: duplicate key name "{both.pop()}": it is the name of hook.api_key; '
            "choose another one"
        )
    keys |= listed
    if not keys:
        raise ConfigError(
            f"{file.path}: hook.api_key is not set, so Camio cannot post events. Create a key with "
            f'"sudo camiohookd key new NAME". Or {KEY_ADVICE} and write it as api_key under [hook] in that file, or '
            f"set {variable('hook', 'api_key')}"
        )
    return config, keys


def keys_file(config: Config, path: Path) -> Path:
    """Return the file of API keys: the one that is set, else the one beside `path`, the settings file."""
    return Path(config.hook.api_keys_file) if config.hook.api_keys_file else path.with_name(api_keys.FILE_NAME)


def _keys_of_the_file(file: TomlFile, config: Config, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the keys by name; no keys if no file is set and the usual one does not exist."""
    path = keys_file(config, file.path)
    if not config.hook.api_keys_file:
        return api_keys.read(path) if path.exists() else {}
    named = variable("hook", "api_keys_file")
    return api_keys.read(path, in_environment(named) if named in environ else file.where("hook", "api_keys_file"))


def _read(path: Path | None, environ: Mapping[str, str]) -> TomlFile:
    return toml_file.read(path or config_file(environ), required=path is not None)


def _config_of(file: TomlFile, environ: Mapping[str, str]) -> Config:
    for name in file.tables:
        if name not in _HOMES:
            raise ConfigError(f"{file.where(name)}: {unknown_section(name, _HOMES)}")
    labelers = _labelers_of(file)
    given = {
        section: checked(file, section, kind, file.tables.get(section, {}), homes=_HOMES)
        for section, kind in _TOP.items()
        if section != "labeler"
    } | {"labeler": labelers[0]}
    for section, key, value in from_environment(environ, SECTIONS):
        top, _, within = section.partition(".")
        if top == "labeler" and len(labelers) > 1:
            raise ConfigError(
                f"{in_environment(variable(section, key))}: {file.path} has {len(labelers)} labelers, and a variable "
                f"does not say which one it is for; write {key} in its own table there, and unset the variable"
            )
        if within:
            given[top][within] = msgspec.structs.replace(given[top].get(within, SECTIONS[section]()), **{key: value})
        else:
            given[top][key] = value
    rules = array_of_tables(file, "rule", Rule, file.tables.get("rule", []), homes=_HOMES)
    more = tuple(LabelerSettings(**each) for each in labelers[1:])
    config = Config(
        **{section: kind(**given[section]) for section, kind in _TOP.items()}, rule=rules, more_labelers=more
    )
    _check_together(config, file.path)
    check_labelers(config.labelers, file)
    return config


def _labelers_of(file: TomlFile) -> list[dict[str, Any]]:
    """Return the settings in [labeler], or in each [[labeler]]: at least one."""
    written = file.tables.get("labeler", {})
    if not isinstance(written, list):
        return [checked(file, "labeler", LabelerSettings, written, homes=_HOMES)]
    if not written:
        raise ConfigError(f"{file.where('labeler')}: the list is empty; write each labeler as a [[labeler]]")
    return [checked(file, "labeler", LabelerSettings, each, nth, homes=_HOMES) for nth, each in enumerate(written)]


def _check_together(config: Config, path: Path) -> None:
    """Check what depends on several settings."""
    for labeler in config.labelers:
        _check_remote(labeler, path)
    if config.callback.retry_min > config.callback.retry_max:
        raise ConfigError(f"{path}: callback.retry_min is longer than callback.retry_max")
    if config.hook.listen.port == config.admin.listen.port != 0:
        raise ConfigError(f"{path}: hook.listen and admin.listen have the same port; choose different ones")
    admin = config.admin
    if not (is_loopback(admin.listen.host) or admin.tls_cert or admin.insecure):
        raise ConfigError(
            f'{path}: admin.listen: other machines can reach "{admin.listen}", and would send the password by plain '
            "http; set admin.tls_cert and admin.tls_key, or, on a network where you trust everyone, "
            "insecure = true under [admin]"
        )


def _check_remote(labeler: LabelerSettings, path: Path) -> None:
    remote = labeler.remote
    if labeler.kind == "remote" and not remote.endpoints:
        raise ConfigError(f'{path}: labeler.kind is "remote", and there are no endpoints under [labeler.remote]')
    if remote.token_file and any(url.startswith("http://") and not is_loopback(host(url)) for url in remote.endpoints):
        raise ConfigError(
            f"{path}: labeler.remote.token_file: the token would be sent by plain http; use https:// endpoints"
        )
