"""The cache keeps the optimized graph for the next start. It never uses a damaged file or another model's file."""

import logging
from pathlib import Path

import numpy as np
import pytest

from camiohookd.errors import ModelError
from camiohookd.labelers.onnx.cache import KEPT_OF_A_KIND, Cache
from camiohookd.labelers.onnx.devices import Device
from camiohookd.labelers.onnx.session import OnnxSession, open_session
from tests.support.onnx_graphs import constant_model

MODEL = constant_model({"scores": np.array([[0.25, 0.75]], np.float32)})
OTHER = constant_model({"scores": np.array([[0.5, 0.5]], np.float32)})
PICTURE = {"images": np.zeros((1, 3, 32, 32), np.float32)}


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "graphs", {})


def only_file(cache: Cache) -> Path:
    [file] = cache.folder.iterdir()
    return file


def scores(session: OnnxSession) -> list[float]:
    [output] = session.run(["scores"], PICTURE)
    return [float(value) for value in output[0]]


def test_the_first_start_stores_a_graph_and_the_second_uses_it(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    assert scores(open_session(MODEL, "m", cache=cache)) == [0.25, 0.75]
    kept = only_file(cache)
    time = kept.stat().st_mtime_ns
    monkeypatch.setattr(
        "camiohookd.labelers.onnx.session._start_and_keep", None
    )  # would be called if the cache were not used
    assert scores(open_session(MODEL, "m", cache=cache)) == [0.25, 0.75]
    assert only_file(cache) == kept
    assert kept.stat().st_mtime_ns >= time


@pytest.mark.parametrize("damage", [b"", b"camiohookd kept\n", b"\0" * 4096])
def test_replaces_a_damaged_graph(cache: Cache, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    open_session(MODEL, "m", cache=cache)
    file = only_file(cache)
    whole = file.read_bytes()
    file.write_bytes(damage)
    assert scores(open_session(MODEL, "m", cache=cache)) == [0.25, 0.75]
    assert f"{file} is damaged and will be made again" in caplog.messages
    assert len(file.read_bytes()) == len(whole)


def test_detects_one_flipped_bit(cache: Cache) -> None:
    cache.save("graph", b"data")
    file = only_file(cache)
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert cache.load("graph") is None


def test_does_not_use_a_file_of_another_model_under_the_right_name(cache: Cache) -> None:
    open_session(MODEL, "m", cache=cache)
    right = only_file(cache)
    foreign = Cache(cache.folder.parent / "other", {})
    open_session(OTHER, "m", cache=foreign)
    right.write_bytes(only_file(foreign).read_bytes())
    assert scores(open_session(MODEL, "m", cache=cache)) == [0.25, 0.75]


def test_replaces_an_undamaged_graph_that_cannot_be_loaded(
    cache: Cache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(cache, "load", lambda kind, **facts: b"no graph")
    assert scores(open_session(MODEL, "m", cache=cache)) == [0.25, 0.75]
    assert "cannot load the cached optimized graph" in caplog.text


@pytest.mark.parametrize("changed", [{"model": "2"}, {"runtime": "2"}, {"device": "2"}])
def test_each_model_runtime_and_device_has_its_own_file(cache: Cache, changed: dict[str, str]) -> None:
    facts = {"model": "1", "runtime": "1", "device": "1"}
    cache.save("graph", b"data", **facts)
    assert cache.load("graph", **facts) == b"data"
    assert cache.load("graph", **(facts | changed)) is None


def test_each_processor_has_its_own_file(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    cache.save("graph", b"data")
    monkeypatch.setattr("camiohookd.labelers.onnx.cache.processor", lambda: "another")
    assert Cache(cache.folder, {}).load("graph") is None


def test_removes_old_files_and_keeps_used_ones(cache: Cache) -> None:
    for number in range(KEPT_OF_A_KIND + 3):
        cache.save("graph", b"data", model=number)
        assert cache.load("graph", model=0) == b"data"
    cache.save("device", b"data")
    assert len(list(cache.folder.glob("graph-*"))) == KEPT_OF_A_KIND
    assert cache.load("graph", model=1) is None
    assert cache.load("device") == b"data"


def test_removes_leftovers_of_a_killed_start(cache: Cache) -> None:
    (cache.folder / "new-abc").mkdir(parents=True)
    (cache.folder / "new-abc/model.onnx").write_bytes(b"half")
    open_session(MODEL, "m", cache=cache)
    assert only_file(cache).name.startswith("graph-")


def test_an_unwritable_folder_is_only_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "graphs").write_text("in the way")
    session = open_session(MODEL, "m", cache=Cache(tmp_path / "graphs", {}))
    assert scores(session) == [0.25, 0.75]
    [record] = caplog.records
    assert (record.levelno, "cannot cache" in record.getMessage()) == (logging.WARNING, True)


def test_writes_nothing_without_a_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert scores(open_session(MODEL, "m")) == [0.25, 0.75]
    assert list(tmp_path.iterdir()) == []


def test_refuses_a_bad_model_with_and_without_a_cache(cache: Cache) -> None:
    for _ in range(2):
        with pytest.raises(ModelError, match="m: ONNX Runtime cannot load the model"):
            open_session(b"no model", "m", cache=cache)


def test_a_missing_provider_is_an_error() -> None:
    with pytest.raises(ModelError, match="CUDAExecutionProvider"):
        open_session(MODEL, "m", Device("CUDAExecutionProvider", "gpu"))
