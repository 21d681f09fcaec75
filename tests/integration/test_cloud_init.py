"""The example for cloud-init: cloud-init accepts it, and its answers are those that the package asks for."""

import re
import shutil
import subprocess
from collections.abc import Callable
from importlib import import_module

from tests.support.checkout import ROOT

EXAMPLE = ROOT / "fleet/user-data"


def test_cloud_init_accepts_the_example(not_tested: Callable[[str], None]) -> None:
    told = import_module("yaml").safe_load(EXAMPLE.read_text())
    assert EXAMPLE.read_text().startswith("#cloud-config\n")
    assert {"packages", "write_files", "runcmd"} <= told.keys()
    if shutil.which("cloud-init") is None:
        not_tested("cloud-init's own check of fleet/user-data, because cloud-init is not installed")
        return
    check = ["cloud-init", "schema", "--config-file", str(EXAMPLE)]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_answers_questions_of_the_package_and_uses_the_files_of_the_repository() -> None:
    told = import_module("yaml").safe_load(EXAMPLE.read_text())
    files = {each["path"]: each["content"] for each in told["write_files"]}
    asked = re.findall(r"^Template: (\S+)$", (ROOT / "debian/camiohookd.templates").read_text(), re.MULTILINE)
    answered = [line.split()[1] for line in files["/root/camiohookd.preseed"].splitlines()]
    assert answered == asked
    readme = (ROOT / "README.md").read_text()
    for *command, address in (each for each in told["runcmd"] if each[0] == "wget"):
        assert f"sudo wget -P {command[-1]} {address}\n" in readme
    installed = (ROOT / "debian/camiohookd.install").read_text()
    assert "systemd/unattended-upgrades.conf usr/share/camiohookd" in installed
