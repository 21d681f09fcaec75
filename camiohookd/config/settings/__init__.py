"""Every setting outside the rules: its name, type, default and description, one class a section.

`load` reads a file and the environment into these sections; `reference` writes the example file and the table of
settings from them. The settings of rules are in `rule`.
"""

from camiohookd.config.settings.callback import CallbackSettings
from camiohookd.config.settings.hook import KEY_ADVICE, HookSettings
from camiohookd.config.settings.labeler import ImagesSettings, LabelerSettings
from camiohookd.config.settings.owner import AdminSettings, LogSettings, MqttSettings, NotifySettings
from camiohookd.config.settings.queue import QueueSettings
from camiohookd.config.settings.remote import RemoteSettings, SpillSettings

__all__ = [
    "KEY_ADVICE",
    "AdminSettings",
    "CallbackSettings",
    "HookSettings",
    "ImagesSettings",
    "LabelerSettings",
    "LogSettings",
    "MqttSettings",
    "NotifySettings",
    "QueueSettings",
    "RemoteSettings",
    "SpillSettings",
]
