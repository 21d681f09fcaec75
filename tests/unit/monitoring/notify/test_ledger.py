"""What is trouble, and that each is told once, and once when it is over."""

from dataclasses import replace

import pytest

from camiohookd.monitoring.notify.conditions import Facts, Key, Limits, troubles
from camiohookd.monitoring.notify.ledger import MOST, Ledger

LIMITS = Limits(queue_age=1800, disk_free=500_000_000, certificate=14 * 86400)
NOW = 1_800_000_000.0
WELL = Facts(NOW, False, 1800, 500_000_000, {"hook": NOW + 14 * 86400}, {}, None)


@pytest.mark.parametrize(
    ("facts", "key", "words"),
    [
        (replace(WELL, degraded=True), Key("degraded"), "The CPU labels"),
        (replace(WELL, oldest_seconds=7300), Key("queue_old"), "has waited 2 h 1 min"),
        (replace(WELL, free_bytes=499_000_000), Key("disk_short"), "Only 499 MB are free"),
        (replace(WELL, silent={"front": NOW - 9000}), Key("camera_silent", "front"), "camera front has sent nothing"),
        (replace(WELL, silent={"": NOW - 9000}), Key("camera_silent", ""), "The camera without a name"),
        (
            replace(WELL, certificates={"hook": NOW + 86400}),
            Key("certificate", "hook"),
            "hook listener expires on 2027-",
        ),
        (
            replace(WELL, certificates={"admin": NOW - 1}),
            Key("certificate", "admin"),
            "admin listener expired on 2027-",
        ),
        (replace(WELL, rolled_back="Version 9 was replaced."), Key("rolled_back"), "Version 9 was replaced."),
        (replace(WELL, refused="answered 410\nGone"), Key("deliveries_refused"), "given up: answered 410\\nGone."),
    ],
)
def test_names_each_trouble(facts: Facts, key: Key, words: str) -> None:
    (found,) = troubles(facts, LIMITS).items()
    assert found[0] == key
    assert words in found[1]


def test_there_is_no_trouble_at_the_limits() -> None:
    assert troubles(WELL, LIMITS) == {}


def test_notifies_once_of_a_trouble_and_once_of_its_end() -> None:
    ledger = Ledger("box", settle=300)
    trouble = {Key("camera_silent", "front"): "It is silent."}
    (begins,) = ledger.update(trouble, NOW)
    assert (begins.alert, begins.state, begins.subject, begins.text) == (
        "camera_silent",
        "begins",
        "front",
        "It is silent.",
    )
    assert ledger.update(trouble, NOW + 1000) == []
    assert ledger.update({}, NOW + 1299) == []
    (over,) = ledger.update({}, NOW + 1300)
    assert (over.state, over.text, over.since, over.host) == ("over", "Over: It is silent.", begins.since, "box")
    assert ledger.update({}, NOW + 2000) == []
    assert [each.state for each in ledger.update(trouble, NOW + 3000)] == ["begins"]


def test_notifies_once_of_a_trouble_that_comes_and_goes() -> None:
    ledger = Ledger("box", settle=300)
    told = [ledger.update({Key("queue_old"): "x"} if at % 200 < 100 else {}, NOW + at) for at in range(2000)]
    assert sum(map(len, told)) == 1


def test_notifies_of_each_camera_up_to_a_bound() -> None:
    ledger = Ledger("box")
    assert len(ledger.update({Key("camera_silent", str(number)): "x" for number in range(MOST + 50)}, NOW)) == MOST
