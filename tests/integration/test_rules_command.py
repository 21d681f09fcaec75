"""``camiohookd rules add`` as a process."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

FRONT = '[[rule]]\ncamera = "front"\nlabels = ["cat"]\n'


def add(folder: Path, *arguments: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "camiohookd", "rules", "add", *arguments],
        input=stdin,
        env=os.environ | {"CONFIGURATION_DIRECTORY": str(folder)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_adds_a_rule_from_standard_input_and_says_what_to_do_next(tmp_path: Path) -> None:
    added = add(tmp_path, "-", stdin=FRONT)
    assert added.returncode == 0, added.stderr
    assert 'added the rule for camera = "front"' in added.stdout
    assert added.stderr == "To use it now: sudo systemctl reload camiohookd\n"
    assert (tmp_path / "camiohookd.toml").read_text() == FRONT


def test_adds_a_rule_from_a_file_once(tmp_path: Path) -> None:
    (tmp_path / "front.toml").write_text(FRONT)
    assert add(tmp_path, str(tmp_path / "front.toml")).returncode == 0
    refused = add(tmp_path, str(tmp_path / "front.toml"))
    assert refused.returncode == 1
    assert "--replace puts the new one in its place" in refused.stderr
    assert add(tmp_path, "--replace", str(tmp_path / "front.toml")).returncode == 0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[[rule]\n", "standard input, line 1: not valid TOML"),
        ("[[rule]]\nmin_probability = 7\n", "standard input, line 2: rule.min_probability"),
        ("", "standard input: there is no rule"),
    ],
)
def test_a_mistake_is_named_and_nothing_is_written(tmp_path: Path, text: str, words: str) -> None:
    refused = add(tmp_path, "-", stdin=text)
    assert refused.returncode == 78
    assert words in refused.stderr
    assert not (tmp_path / "camiohookd.toml").exists()


def test_warns_of_a_label_that_the_model_does_not_know(tmp_path: Path) -> None:
    added = add(tmp_path, "-", stdin=FRONT.replace("cat", "kat"))
    assert added.returncode == 0
    assert 'warning: rule 1 (front): the model knows no label "kat"; did you mean "cat"?' in added.stderr
