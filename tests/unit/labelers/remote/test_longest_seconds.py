"""The time after which a picture counts as stuck covers all waits that are in order."""

from camiohookd.config.settings import LabelerSettings, RemoteSettings
from camiohookd.config.values import EndpointUrl
from camiohookd.labelers.open import longest_seconds

SERVERS = RemoteSettings(endpoints=(EndpointUrl("http://gpu.lan"),))


def test_on_this_machine_it_is_the_deadline() -> None:
    assert longest_seconds(LabelerSettings()) == 60


def test_with_servers_it_covers_each_try_twice() -> None:
    assert longest_seconds(LabelerSettings(kind="remote", remote=SERVERS)) == 2 * 3 * 5 * 10


def test_with_both_it_covers_the_wait_for_home_and_every_other_picture_there() -> None:
    assert longest_seconds(LabelerSettings(remote=SERVERS)) == 60 + 2 * 3 * 5 * 10 + 5 * 60
