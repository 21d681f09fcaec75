"""Owners filter the journal by logger names, so they name parts of the service and not files."""

import re

from tests.support.checkout import ROOT

PACKAGE = ROOT / "camiohookd"
NAMES = {"activity", "daemon", "delivery", "history", "hook", "labeler", "mqtt", "notify", "queue", "web", "worker"}


def test_every_module_logs_under_the_fixed_name_of_its_part() -> None:
    used = {
        name
        for path in PACKAGE.rglob("*.py")
        for name in re.findall(r"^log = logging\.getLogger\((.*)\)", path.read_text(), re.MULTILINE)
    }
    assert used == {f'"camiohookd.{name}"' for name in NAMES}
