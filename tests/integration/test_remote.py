"""The daemon with inference servers: who labels what; a bad or dead server stops nothing and mislabels nothing."""

import json
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support import bad_answers
from tests.support.daemon_process import SAMPLES, Daemon, post_event
from tests.support.inference_server import Described, InferenceServer, answer
from tests.support.onnx_graphs import constant_model, model_folder
from tests.support.threaded_simulator import FakeCamioThread

PATIENCE = 60.0
BOXES = np.array([[[0.1, 0.1, 0.5, 0.5]]], np.float32)
AT_HOME = np.array([[[0.9, 0.1]]], np.float32)
THERE = np.array([[[0.1, 0.9]]], np.float32)


def compute(value: Any) -> Mapping[str, Any]:
    """Find another object than the model of the daemon, so that a label tells who found it."""
    return {"scores": THERE.repeat(len(value), 0), "boxes": BOXES.repeat(len(value), 0)}


@pytest.fixture
def server() -> Iterator[InferenceServer]:
    inputs = [Described("images", "FP32", (-1, 3, 32, 32))]
    outputs = [Described("scores", "FP32", (-1, 1, 2)), Described("boxes", "FP32", (-1, 1, 4))]
    with closing(InferenceServer(compute, inputs, outputs)) as started:
        yield started


@pytest.fixture
def settings(tmp_path: Path, server: InferenceServer) -> dict[str, str]:
    graph = constant_model({"scores": AT_HOME, "boxes": BOXES}, shape=("n", 3, 32, 32))
    folder = model_folder(tmp_path / "tiny", graph, "ssd", ["home", "there"])
    return {
        "CAMIOHOOKD_LABELER_MODEL": str(folder),
        "CAMIOHOOKD_LABELER_DEVICE": "cpu",
        "CAMIOHOOKD_LABELER_DETAIL": "whole",
        "CAMIOHOOKD_LABELER_REMOTE_ENDPOINTS": json.dumps([server.url]),
    }


def labels_of(camio: FakeCamioThread, event: str) -> Any:
    """Return the names of an event's labels, once they are delivered."""
    camio.wait_until(lambda arrived: any(each.accepted for each in arrived[event]), PATIENCE)
    (labels,) = json.loads(camio.deliveries[event][-1].body)["labels"].values()
    return list(labels)


def page_says(daemon: Daemon, event: str, words: str) -> bool:
    return words in daemon.admin(f"/events/{event}")[1]


def test_this_machine_labels_when_the_preferred_servers_send_bad_answers(
    tmp_path: Path, server: InferenceServer, settings: dict[str, str]
) -> None:
    settings["CAMIOHOOKD_LABELER_SPILL_PREFER"] = "remote"
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
        there = post_event(daemon, camio, "one")["id"]
        assert labels_of(camio, "one") == ["there"]
        server.compute = lambda value: {**compute(value), "boxes": BOXES * np.nan}
        at_home = post_event(daemon, camio, "two")["id"]
        assert labels_of(camio, "two") == ["home"]
        for event, device in ((there, server.url), (at_home, "cpu")):
            daemon.wait_until(partial(page_says, daemon, event, f" on {device}"))
        server.close()
        post_event(daemon, camio, "three")
        assert labels_of(camio, "three") == ["home"]
        assert {len(each) for each in camio.deliveries.values()} == {1}
        assert daemon.metric('pictures_labelled_total{where="remote"}') == 1
        assert daemon.metric('pictures_labelled_total{where="home"}') == 2
        assert daemon.metric("degraded") == 1
        assert daemon.metric(f'inference_server_up{{server="{server.url}"}}') == 0
        assert daemon.metric(f'inference_server_failures_total{{server="{server.url}"}}') >= 3  # type: ignore[operator]  # it is there
        log = daemon.log
        assert f"device={server.url}: there 0.90" in log
        assert "device=cpu: home 0.90" in log
        assert log.count("sent output 'boxes' contains NaN or infinite values; it is not asked again") == 1
        assert log.count("no inference server works: labeling on this machine") == 1
        shown = daemon.command("label", "--explain", str(SAMPLES / "chelsea.jpg"))
        assert "(labeled by cpu" in shown.stdout


def test_a_box_starts_and_labels_although_a_server_is_dead(
    tmp_path: Path, server: InferenceServer, settings: dict[str, str]
) -> None:
    server.close()
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
        post_event(daemon, camio, "one")
        assert labels_of(camio, "one") == ["home"]
        assert f"inference server {server.url} cannot be asked: Connection refused; it is not asked again" in daemon.log


def test_events_wait_for_servers_that_label_alone(
    tmp_path: Path, server: InferenceServer, settings: dict[str, str]
) -> None:
    settings["CAMIOHOOKD_LABELER_KIND"] = "remote"
    (tmp_path / "tiny/model.onnx").unlink()
    server.fault = lambda handler: answer(handler, 200, b'{"error": "out of memory"}')
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
        post_event(daemon, camio, "one")
        daemon.wait_until(lambda: "the queue waits: " in daemon.log)
        assert daemon.pending()["pending"] == 1
        assert daemon.admin("/readyz")[0] == 503
        server.fault = None
        assert labels_of(camio, "one") == ["there"]
        assert len(camio.deliveries["one"]) == 1


def test_pictures_that_wait_too_long_go_to_a_server_while_this_machine_labels_on(tmp_path: Path) -> None:
    script, busy, go = (tmp_path / name for name in ("labeler.py", "busy", "go"))
    script.write_text(
        "import pathlib, time\n"
        "def compute_labels(images):\n"
        f"    pathlib.Path({str(busy)!r}).touch()\n"
        f"    while not pathlib.Path({str(go)!r}).exists():\n"
        "        time.sleep(0.02)\n"
        "    return {each['timestamp']: {'home': {'probability': 0.9}} for each in images}\n"
    )
    there = {"labels": [b'{"0": {"there": {"probability": 0.9}}}']}
    inputs, outputs = [Described("pictures", "BYTES", (-1,))], [Described("labels", "BYTES", (-1,))]
    with closing(InferenceServer(lambda files: there if files else {"labels": [b"{}"]}, inputs, outputs)) as server:
        settings = {
            "CAMIOHOOKD_LABELER_KIND": "python",
            "CAMIOHOOKD_LABELER_SCRIPT": str(script),
            "CAMIOHOOKD_LABELER_REMOTE_ENDPOINTS": json.dumps([server.url]),
            "CAMIOHOOKD_LABELER_REMOTE_MODEL_NAME": "tiny",
            "CAMIOHOOKD_LABELER_REMOTE_SENDS": "jpeg-for-labels",
            "CAMIOHOOKD_LABELER_SPILL_AFTER": "0.01s",
        }
        names = [str(number) for number in range(5)]
        with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
            post_event(daemon, camio, "first")
            daemon.wait_until(busy.exists)
            for name in names:
                post_event(daemon, camio, name)
            assert [labels_of(camio, name) for name in names] == [["there"]] * 5
            go.touch()
            assert labels_of(camio, "first") == ["home"]
            assert daemon.metric('pictures_labelled_total{where="remote"}') == 5
            assert daemon.metric('pictures_labelled_total{where="home"}') == 1
            assert "pictures that have waited for more than 0.01 s go to inference servers, too" in daemon.log


@pytest.fixture
def broken(long_run: bool) -> Iterator[dict[str, InferenceServer]]:
    """A server for each kind of bad answer, which answers the trial well."""
    if not long_run:
        pytest.skip(
            "NOT TESTED: each kind of bad answer to a daemon, which takes half a minute (--long); "
            "a test of the labeler covers each"
        )
    with ExitStack() as stack:
        yield {
            name: stack.enter_context(
                closing(InferenceServer(bad_answers.tiny, bad_answers.INPUT, bad_answers.OUTPUTS))
            )
            for name in bad_answers.BAD_ANSWERS
        }


@pytest.fixture
def with_broken(tmp_path: Path, broken: dict[str, InferenceServer]) -> dict[str, str]:
    graph = constant_model({"scores": bad_answers.SCORES, "boxes": bad_answers.BOXES}, shape=("n", 3, 32, 32))
    folder = model_folder(tmp_path / "tiny", graph, "ssd", ["found", "found"])
    return {
        "CAMIOHOOKD_LABELER_MODEL": str(folder),
        "CAMIOHOOKD_LABELER_DEVICE": "cpu",
        "CAMIOHOOKD_LABELER_DETAIL": "whole",
        "CAMIOHOOKD_LABELER_REMOTE_ENDPOINTS": json.dumps([each.url for each in broken.values()]),
        "CAMIOHOOKD_LABELER_REMOTE_MODEL_VERSION": "1",
        "CAMIOHOOKD_LABELER_REMOTE_TIMEOUT": "2s",
    }


def begin_faults(broken: Mapping[str, InferenceServer]) -> None:
    """Let each server give its kind of bad answer from now on."""
    for name, server in broken.items():
        server.fault, _ = bad_answers.BAD_ANSWERS[name]


def unsaid(daemon: Daemon, broken: Mapping[str, InferenceServer]) -> list[str]:
    """Return the kinds of bad answers about which the log has no line yet that names the server and the reason."""
    lost = [line for line in daemon.log.splitlines() if "event=remote_lost" in line]
    return [
        name
        for name, server in broken.items()
        if not any(server.url in line and bad_answers.BAD_ANSWERS[name][1] in line for line in lost)
    ]


def test_after_each_kind_of_bad_answer_events_are_labeled_at_home(
    tmp_path: Path, broken: dict[str, InferenceServer], with_broken: dict[str, str]
) -> None:
    settings = {**with_broken, "CAMIOHOOKD_LABELER_SPILL_PREFER": "remote"}
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
        begin_faults(broken)
        events = (str(number) for number in range(5 * len(broken)))
        while unsaid(daemon, broken) and (event := next(events, None)):
            post_event(daemon, camio, event)
            assert labels_of(camio, event) == ["found"]
        assert unsaid(daemon, broken) == []
        assert {len(each) for each in camio.deliveries.values()} == {1}
        assert daemon.metric('pictures_labelled_total{where="remote"}') in (None, 0)
        assert {daemon.metric(f'inference_server_up{{server="{each.url}"}}') for each in broken.values()} == {0}


def test_with_servers_alone_an_event_waits_through_every_kind_of_bad_answer(
    tmp_path: Path, broken: dict[str, InferenceServer], with_broken: dict[str, str]
) -> None:
    settings = {**with_broken, "CAMIOHOOKD_LABELER_KIND": "remote"}
    with FakeCamioThread() as camio, Daemon(tmp_path, camio.origin, settings) as daemon:
        begin_faults(broken)
        post_event(daemon, camio, "one")
        daemon.wait_until(lambda: not unsaid(daemon, broken), 10 * PATIENCE)
        assert daemon.pending()["pending"] == 1
        assert not camio.deliveries["one"]
        for server in broken.values():
            server.fault = None
        assert labels_of(camio, "one") == ["found"]
        assert len(camio.deliveries["one"]) == 1
