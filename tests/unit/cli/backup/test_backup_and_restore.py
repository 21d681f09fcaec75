"""``camiohookd backup`` and ``camiohookd restore``: what is saved, what comes back, and what stays."""

import stat
import tarfile
from pathlib import Path

import pytest

from camiohookd.queue.state_folder import StateFolder
from camiohookd.queue.task import State
from camiohookd.system.disk import Disk
from tests.support.backups import KEYS, SETTINGS, BoxFolders, fresh_box, make_box
from tests.support.queue_factory import accept, make_event, open_queue
from tests.support.users import open_folder, ordinary_user


@pytest.fixture
def old(tmp_path: Path) -> BoxFolders:
    return make_box(tmp_path / "old")


@pytest.fixture
def new(tmp_path: Path) -> BoxFolders:
    return fresh_box(tmp_path / "new")


def saved(box: BoxFolders, *options: str) -> Path:
    file = box.top.with_name("box.backup")
    done = box.run("backup", file, *options)
    assert done.exit_code == 0, done.output
    return file


def test_another_box_gets_settings_keys_rules_models_and_taught_labels(old: BoxFolders, new: BoxFolders) -> None:
    file = saved(old)
    (new.settings / "mine").write_text("a file of the new box\n")
    done = new.run("restore", file, "--yes")
    assert done.exit_code == 0, done.output
    expected = {name: data for name, data in old.files().items() if not name.startswith("lib/graphs")}
    assert new.files() == expected | {"etc/mine": b"a file of the new box\n"}
    assert stat.S_IMODE((new.settings / "api-keys").stat().st_mode) == 0o640
    assert "new       state/models/mine/model.onnx" in done.output
    assert "replaced  settings/api-keys" in done.output
    assert "stays     settings/mine" in done.output
    again = new.run("restore", file, "--dry-run")
    assert "replaced" not in again.output
    assert "the same  settings/api-keys" in again.output


def test_the_file_is_a_tar_that_only_its_owner_can_read_and_shows_no_key_on_the_terminal(old: BoxFolders) -> None:
    file = saved(old)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with tarfile.open(file) as tar:
        assert tar.getnames()[:3] == ["manifest.json", "settings/api-keys", "settings/camiohookd.toml"]
    done = old.run("restore", file, "--dry-run")
    assert KEYS.split()[1] not in done.output
    assert "not encrypted" in old.run("backup", file).output


def test_replaces_an_earlier_backup_and_no_other_file(old: BoxFolders, tmp_path: Path) -> None:
    photo = tmp_path / "photo.jpg"
    photo.write_bytes(b"\xff\xd8 a photograph")
    done = old.run("backup", photo)
    assert "photo.jpg: exists and is not a backup, so it is not replaced; give another name" in str(done.exception)
    assert photo.read_bytes() == b"\xff\xd8 a photograph"
    secret = tmp_path / "passphrase"
    secret.write_text("a long passphrase\n")
    for options in ([], ["--passphrase-file", str(secret)], []):
        assert saved(old, *options).stat().st_size > 0


def test_a_dry_run_lists_the_changes_and_makes_none(old: BoxFolders, new: BoxFolders) -> None:
    file = saved(old)
    before = new.files()
    done = new.run("restore", file, "--dry-run")
    assert done.exit_code == 0
    assert "replaced  settings/camiohookd.toml" in done.output
    assert new.files() == before


def test_asks_before_it_changes_anything(old: BoxFolders, new: BoxFolders) -> None:
    file = saved(old)
    before = new.files()
    assert new.run("restore", file, stdin="n\n").exit_code != 0
    assert new.files() == before
    assert new.run("restore", file, stdin="y\n").exit_code == 0
    assert (new.settings / "camiohookd.toml").read_text() == SETTINGS


def test_the_queue_moves_with_its_events_and_is_saved_only_if_no_daemon_uses_it(
    old: BoxFolders, new: BoxFolders
) -> None:
    queue = open_queue(old.state)
    accept(queue, make_event(1))
    accept(queue, make_event(2))
    in_use = old.run("backup", old.top / "b", "--queue", "--encrypt")  # that asks for no passphrase first
    assert "in use by another camiohookd" in str(in_use.exception)
    assert not (old.top / "b").exists()
    queue.close()
    file = saved(old, "--queue")
    assert new.run("restore", file, "--yes").exit_code == 0
    moved = open_queue(new.state)
    assert moved.tasks.counts[State.PENDING] == 2
    assert moved.read_payload(moved.get(1)).pictures == make_event(1).pictures
    moved.close()


def test_events_that_wait_here_are_not_deleted_for_a_queue_that_is_restored(old: BoxFolders, new: BoxFolders) -> None:
    file = saved(old, "--queue")
    queue = open_queue(new.state)
    accept(queue, make_event(3))
    queue.close()
    refused = new.run("restore", file, "--yes")
    assert "holds 1 event that wait" in str(refused.exception)
    assert (new.settings / "camiohookd.toml").read_text() == "# default settings\n"
    assert new.run("restore", file, "--yes", "--replace-queue").exit_code == 0
    queue = open_queue(new.state)
    assert queue.tasks.waiting_count == 0
    queue.close()


def test_a_queue_in_use_is_not_replaced(old: BoxFolders, new: BoxFolders) -> None:
    file = saved(old, "--queue")
    folder = StateFolder(new.state, Disk())
    refused = new.run("restore", file, "--yes", "--replace-queue")
    folder.close()
    assert "stop that one first" in str(refused.exception)
    assert (new.settings / "camiohookd.toml").read_text() == "# default settings\n"


def test_models_by_hash_are_named_where_they_are_missing(old: BoxFolders, new: BoxFolders) -> None:
    file = saved(old, "--models-by-hash")
    done = new.run("restore", file, "--yes")
    assert not (new.state / "models/mine/model.onnx").exists()
    assert "missing   model mine: add it again, SHA-256 " in done.output
    (new.state / "models/mine/model.onnx").write_text("not a real model\n")
    assert "missing" not in new.run("restore", file, "--dry-run").output


def test_files_that_the_settings_name_elsewhere_are_listed(old: BoxFolders, new: BoxFolders) -> None:
    script = old.top / "labels.py"
    script.write_text("compute_labels = None\n")
    (old.settings / "camiohookd.toml").write_text(f'[labeler]\nkind = "python"\nscript = "{script}"\n')
    told = old.run("backup", old.top / "b")
    assert f"not in it: {script}, which the settings name" in told.output
    script.unlink()
    assert f"missing   {script}" in new.run("restore", old.top / "b", "--dry-run").output


def test_links_and_an_unfinished_restore_are_left_out(old: BoxFolders) -> None:
    (old.settings / "link").symlink_to("/etc/passwd")
    (old.state / "models/outside").symlink_to("/usr")
    (old.settings / ".restore-abc").mkdir()
    (old.settings / ".restore-abc/api-keys").write_text("old")
    with tarfile.open(saved(old)) as tar:
        assert not any("link" in name or "outside" in name or ".restore" in name for name in tar.getnames())


def test_an_interrupted_restore_leaves_nothing_after_the_next_one(old: BoxFolders, new: BoxFolders) -> None:
    (new.settings / ".restore-abc").mkdir()
    (new.state / ".restore-abc/state").mkdir(parents=True)
    assert new.run("restore", saved(old), "--yes").exit_code == 0
    assert not list(new.top.rglob(".restore-*"))


def test_settings_that_this_version_cannot_read_are_refused(old: BoxFolders, new: BoxFolders) -> None:
    (old.settings / "camiohookd.toml").write_text("[hook]\nfrom_the_future = 1\n")
    before = new.files()
    refused = new.run("restore", saved(old), "--yes")
    assert "from_the_future" in str(refused.exception)
    assert "Install the version that made the backup" in str(refused.exception)
    assert new.files() == before


def test_settings_and_state_in_one_folder_are_saved_once(tmp_path: Path) -> None:
    box = make_box(tmp_path / "old")
    together = box.settings
    queue = open_queue(together)
    accept(queue, make_event(1))
    queue.close()
    file = tmp_path / "b"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(BoxFolders, "state", property(lambda self: self.settings))
        assert box.run("backup", file).exit_code == 0
    with tarfile.open(file) as tar:
        names = tar.getnames()
    assert names == ["manifest.json", "settings/api-keys", "settings/camiohookd.toml", "settings/tunnel-home.key"]


def test_an_ordinary_user_is_told_to_use_sudo() -> None:
    with open_folder() as folder:
        box = make_box(folder / "box")
        for path in (box.settings / "api-keys", box.state):
            path.chmod(0)
        with ordinary_user():
            refused = box.run("backup", folder / "b")
            message = str(refused.exception)
        box.state.chmod(0o700)
    assert "Permission denied; run this command with sudo" in message
