"""Real inference servers label as this machine does: Triton, KServe, MLServer and Ray Serve.

Each takes a minute or more to install, so all are part of ``--long``; continuous integration runs Triton as a step of
its own.
"""

from itertools import chain
from typing import NamedTuple

import pytest

from camiohookd.camio.simulator import samples
from camiohookd.config.settings import LabelerSettings, RemoteSettings
from camiohookd.config.values import Duration, EndpointUrl
from camiohookd.labelers import Frame, Labeler, LabelRequest
from camiohookd.labelers.open import open_labeler
from camiohookd.pictures.decode import PictureLimits, decode
from camiohookd.wire.images import Picture
from tests.support.checkout import ROOT
from tests.support.engines import ENGINES, running

MODEL = ROOT / "models/ssdlite-mobilenet-v2-coco"
EXAMPLES = ROOT / "camiohookd/examples"


class Engine(NamedTuple):
    """A server of the project's model: its script takes so many ports. `form` is the one that the probe has to find."""

    name: str
    ports: int
    form: str


MODEL_SERVERS = (
    Engine("pytriton", 2, "the binary form"),
    Engine("kserve", 1, "the binary form"),
    Engine("mlserver", 3, "JSON"),
)


@pytest.fixture
def only_in_full(long_run: bool) -> None:
    if not long_run:
        pytest.skip("NOT TESTED: real inference servers, because they take minutes to install (--long)")


def remote(url: str, **more: object) -> RemoteSettings:
    return RemoteSettings(endpoints=(EndpointUrl(url),), timeout=Duration("60s"), **more)  # type: ignore[arg-type]  # a test's own


def frames(size: tuple[int, int]) -> list[Frame]:
    return [
        Frame(Picture(path.name, path.read_bytes()), decode(path.read_bytes(), PictureLimits(), size))
        for path in sorted(samples.KNOWN)
    ]


def opened(settings: LabelerSettings) -> Labeler:
    return open_labeler(settings, None, lambda _degraded: None).labeler


@pytest.mark.usefixtures("only_in_full")
@pytest.mark.parametrize("engine", MODEL_SERVERS, ids=lambda engine: engine.name)
def test_a_server_with_the_same_model_finds_the_same(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    home = opened(LabelerSettings(model=str(MODEL), device="cpu", threads=1))
    pictures = frames(home.input_size)
    request = LabelRequest(min_probability=0.1)
    with running(engine.name, ENGINES / f"serve_{engine.name}.py", "ssd", ports=engine.ports) as url:
        for batch in (1, 3):
            settings = remote(url, model_name="ssd", batch=batch)
            there = opened(LabelerSettings(kind="remote", model=str(MODEL), remote=settings))
            ours, theirs = home.label(pictures, request).pictures, there.label(pictures, request).pictures
            assert [len(each) for each in ours] == [len(each) for each in theirs]
            assert sum(map(len, ours)) >= len(pictures)
            for one, other in zip(chain(*ours), chain(*theirs), strict=True):
                assert one.label == other.label
                assert other.probability == pytest.approx(one.probability, abs=0.01)
                assert other.box == pytest.approx(one.box, abs=1.0)
            there.close()
    assert f"requests in {engine.form}" in caplog.text


@pytest.mark.usefixtures("only_in_full")
def test_compute_labels_on_two_replicas_of_ray_serve_labels_as_at_home() -> None:
    script = EXAMPLES / "labeler.py"
    home = opened(LabelerSettings(kind="python", script=str(script)))
    pictures = frames(home.input_size)
    arguments = (str(script), "--replicas", "2", "--cpus", "2")
    with running("ray", EXAMPLES / "ray_labels.py", "labels", *arguments, port_option=["--port"]) as url:
        settings = remote(url, model_name="labels", sends="jpeg-for-labels")
        there = opened(LabelerSettings(kind="remote", remote=settings))
        for _ in range(4):
            assert there.label(pictures).pictures == home.label(pictures).pictures
        there.close()
    home.close()


def test_the_requirements_are_pinned() -> None:
    for file in sorted((ENGINES / "requirements").iterdir()):
        assert all("==" in line for line in file.read_text().splitlines()), file.name
