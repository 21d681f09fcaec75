"""Real inference servers label as this machine does: Triton, KServe, MLServer and Ray Serve.

Each takes a minute or more to install, so all are part of ``--long``; continuous integration runs Triton as a step of
its own.
"""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import pytest

from camiohookd.camio.simulator import samples
from camiohookd.config.quantities import Duration
from camiohookd.config.settings import LabelerSettings, RemoteSettings
from camiohookd.config.values import EndpointUrl
from camiohookd.labelers import Frame, Labeler, LabelRequest
from camiohookd.labelers.onnx.labeler import open_onnx
from camiohookd.labelers.open import open_labeler
from camiohookd.pictures.decode import PictureLimits, decode
from camiohookd.pictures.detections import Box, Detection
from camiohookd.wire.images import Picture
from tests.support.checkout import ROOT
from tests.support.engines import ENGINES, running

MODEL = ROOT / "models/ssdlite-mobilenet-v2-coco"
EXAMPLES = ROOT / "camiohookd/examples"


class Engine(NamedTuple):
    """A server of the project's model. Its script takes `ports` ports.

    `models` are the names under which it serves the model in its variants; for each, the log has to name the form.
    """

    name: str
    ports: int
    models: dict[str, str]


MODEL_SERVERS = (
    Engine("pytriton", 2, dict.fromkeys(("ssd", "ssd-bytes", "ssd-files"), "the binary form")),
    Engine("kserve", 1, {"ssd": "the binary form", "ssd-files": "JSON"}),
    Engine("mlserver", 3, {"ssd": "JSON", "ssd-files": "JSON"}),
)


@pytest.fixture
def only_in_full(long_run: bool) -> None:
    if not long_run:
        pytest.skip("NOT TESTED: real inference servers, because they take minutes to install (--long)")


@contextmanager
def there(url: str, **more: object) -> Iterator[Labeler]:
    """Open a labeler that asks the server at `url`."""
    remote = RemoteSettings(endpoints=(EndpointUrl(url),), timeout=Duration("60s"), **more)  # type: ignore[arg-type]  # a test's own
    with closing(opened(LabelerSettings(kind="remote", model=str(MODEL), remote=remote))) as labeler:
        yield labeler


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
    home = open_onnx(MODEL)
    pictures = frames(home.input_size)
    with running(engine.name, ENGINES / f"serve_{engine.name}.py", "ssd", ports=engine.ports) as url:
        for model in engine.models:
            for batch in (1, 3):
                sends = "jpeg" if model == "ssd-files" else "tensors"
                with there(url, model_name=model, sends=sends, batch=batch) as labeler:
                    assert_equal(home, labeler, pictures)
    forms = [each.rpartition(" requests in ")[2] for each in caplog.messages if " requests in " in each]
    # Answers in JSON to the binary form would be named, too.
    assert forms[::2] == forms[1::2] == list(engine.models.values())


def assert_equal(home: Labeler, labeler: Labeler, pictures: list[Frame]) -> None:
    """Compare what both find: the same labels, boxes within a pixel and probabilities within 0.01."""
    request = LabelRequest(min_probability=0.1)
    ours, theirs = (list(chain(*each.label(pictures, request).pictures)) for each in (home, labeler))
    assert len(ours) >= 1
    assert [each.label for each in theirs] == [each.label for each in ours]
    for one, other in zip(ours, theirs, strict=True):
        assert other.probability == pytest.approx(one.probability, abs=0.01)
        assert other.box == pytest.approx(one.box, abs=1.0)


@pytest.mark.usefixtures("only_in_full")
def test_compute_labels_on_two_replicas_of_ray_serve_labels_as_at_home() -> None:
    script = EXAMPLES / "labeler.py"
    home = opened(LabelerSettings(kind="python", script=str(script)))
    pictures = frames(home.input_size)
    arguments = (str(script), "--replicas", "2", "--cpus", "2")
    with (
        running("ray", EXAMPLES / "ray_labels.py", "labels", *arguments, port_option=["--port"]) as url,
        there(url, model_name="labels", sends="jpeg-for-labels") as labeler,
    ):
        for _ in range(4):
            assert labeler.label(pictures).pictures == home.label(pictures).pictures
    home.close()


@pytest.mark.usefixtures("only_in_full")
def test_compute_labels_on_ray_serve_sees_and_changes_what_earlier_labelers_found(tmp_path: Path) -> None:
    script = tmp_path / "first_only.py"
    script.write_text(
        "def compute_labels(images):\n"
        "    for image in images:\n"
        "        image['detections'] = image['detections'][:1]\n"
        "        assert image['image'].size[0] > 1\n"
    )
    pictures = frames((300, 300))
    earlier = [[Detection("person", 0.9, Box(1, 2, 3, 4)), Detection("car", 0.5, None)] for _ in pictures]
    with (
        running("ray", EXAMPLES / "ray_labels.py", "labels", str(script), "--cpus", "2", port_option=["--port"]) as url,
        there(url, model_name="labels", sends="jpeg-for-labels") as labeler,
    ):
        found = labeler.label(pictures, LabelRequest(found=earlier))
    assert found.kept == [each[:1] for each in earlier]


def test_the_requirements_are_pinned() -> None:
    for file in sorted((ENGINES / "requirements").iterdir()):
        assert all("==" in line for line in file.read_text().splitlines()), file.name
