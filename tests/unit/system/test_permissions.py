"""The advice about a file that this process may not read."""

import os
import pwd

import pytest

from camiohookd.system import permissions


@pytest.fixture
def somebody(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make this process look as if an ordinary user ran it."""
    monkeypatch.setattr(os, "geteuid", lambda: pwd.getpwnam("nobody").pw_uid)


@pytest.mark.usefixtures("somebody")
def test_advises_a_person_to_use_sudo_and_not_to_change_permissions() -> None:
    assert permissions.remedy("/etc/camiohookd/api-keys") == "; run this command with sudo"


@pytest.mark.usefixtures("somebody")
def test_names_the_user_that_must_be_able_to_read_the_file_in_the_service(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(permissions, "SERVICE_USER", "nobody")
    assert "sudo chgrp nobody /etc/keys && sudo chmod g+r /etc/keys" in permissions.remedy("/etc/keys")
    assert "the service cannot see files there: move it to /etc/camiohookd" in permissions.remedy("/home/me/labeler.py")


def test_gives_root_no_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    assert permissions.remedy("/etc/keys") == ""
