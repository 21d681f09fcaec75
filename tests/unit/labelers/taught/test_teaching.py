"""Teach from pictures, with the colors as features, and with the shipped model's own."""

import numpy as np
import pytest
from PIL import Image

from camiohookd.labelers.model import find, load_description
from camiohookd.labelers.onnx.features import open_features
from camiohookd.labelers.taught import crops, store
from camiohookd.labelers.taught.places import TaughtError
from camiohookd.labelers.taught.store import TaughtZone
from camiohookd.labelers.taught.teaching import Example, Subject, teach, teach_again
from camiohookd.pictures.detections import Box, scaled
from tests.support import gates
from tests.support.taught import MODEL, Colors, example, lamps, taught_lamp


class OtherColors(Colors):
    """Another model: its features are in another order."""

    tensors: tuple[str, ...] = ("other",)

    def features(self, image: Image.Image) -> np.ndarray:
        return super().features(image)[::-1].copy()


def test_a_lamp_is_learned_from_six_pictures_of_each_color() -> None:
    taught = taught_lamp()
    assert (taught.labels, taught.report.accuracy, taught.report.advice) == (("red", "green"), 1.0, ())
    assert taught.report.pictures == taught.report.events == (6, 6)


def test_another_model_learns_the_same_from_the_kept_pictures() -> None:
    again = teach_again(taught_lamp(steady=3), OtherColors(), "b" * 64)
    assert (again.model, again.tensors, again.steady, again.report.accuracy) == ("b" * 64, ("other",), 3, 1.0)
    assert again.crops == taught_lamp().crops


def test_without_kept_pictures_it_has_to_be_taught_again() -> None:
    with pytest.raises(TaughtError, match="its pictures were not kept: teach it again"):
        teach_again(taught_lamp(keep_crops=False), OtherColors(), "b" * 64)


def test_one_odd_example_of_a_kind_does_not_make_less_odd_objects_known() -> None:
    def of(label: str, red: int, green: int, blue: int) -> Example:
        picture = Image.new("RGB", (64, 64), (red, green, blue))
        return Example(f"{red} {green} {blue}", label, f"{red} {green} {blue}", picture, Box(0, 0, 32, 32))

    usual = lamps(10)
    taught = teach(Subject("lamp", None, "car"), [*usual, of("green", 40, 130, 150)], Colors(), MODEL, keep_crops=False)
    learned = taught.learned()
    pink, red = (Colors().features(of("", 180, 50, blue).image).astype(float) for blue in (120, 40))
    assert (learned.verdict(red).label, learned.verdict(pink).label) == (0, None)


def test_one_picture_of_each_label_is_not_enough() -> None:
    report = taught_lamp(examples=lamps(1)).report
    assert report.accuracy is None
    assert report.advice[0] == "add 4 pictures of red: it has 1"


def test_identical_pictures_with_both_labels_are_not_learned_well() -> None:
    same = [example(label, 200, 40 + nth) for label in ("red", "green") for nth in range(6)]
    report = taught_lamp(examples=same).report
    assert (report.accuracy or 0.0) < 0.85
    assert "is given as red (red-200-40.jpg) and as green (green-200-40.jpg)" in report.advice[0]


def test_a_copy_under_another_name_is_the_same_event() -> None:
    copies = [example("red", 200, 40)._replace(source=f"{nth}.jpg", event=f"{nth}") for nth in range(6)]
    report = taught_lamp(examples=[*copies, *lamps()[6:]]).report
    assert report.events == (1, 6)


def test_a_huge_crop_is_kept_small_and_a_box_outside_is_clipped() -> None:
    huge = Image.new("RGB", (4000, 3000), (200, 50, 40))
    examples = [Example(f"{nth}", "red", f"{nth}", huge, Box(-900, -900, 9000, 9000)) for nth in range(2)]
    taught = taught_lamp(examples=[*examples, *lamps()])
    assert max(len(crop.jpeg) for crop in taught.crops) < 20_000
    outside = examples[0]._replace(box=Box(8000, 8000, 9000, 9000))
    assert taught_lamp(examples=[outside, *lamps()]).labels == ("red", "green")


@pytest.mark.parametrize("labels", [("red", "red"), ("red", ""), ("red", "x" * 201)])
def test_labels_that_cannot_be_sent_are_refused(labels: tuple[str, str]) -> None:
    examples = [each._replace(label=labels[each.label == "green"]) for each in lamps()]
    with pytest.raises(TaughtError, match="label"):
        taught_lamp(examples=examples)


def test_too_many_pictures_are_refused() -> None:
    with pytest.raises(TaughtError, match="at most 2000 are allowed"):
        taught_lamp(examples=lamps() * 200)


def test_a_zone_is_not_looked_at_more_sharply_than_its_examples() -> None:
    assert taught_lamp().size == (32, 32)
    image = Image.new("RGB", (90, 60))
    assert crops.not_sharper(image, (45.2, 30.0)).size == (45, 30)
    assert crops.not_sharper(image, (91.0, 30.0)) is crops.not_sharper(image, (0.0, 0.0)) is image


def test_a_picture_is_cut_alike_from_a_full_and_from_a_reduced_image() -> None:
    full = gates.made_frames(1, 1)[0]
    assert crops.reduced(full, (300, 200)).size == (384, 288)
    assert crops.reduced(full, (300, 300)).size == full.size


def test_a_gate_is_learned_from_ten_pictures_of_each_state(long_run: bool) -> None:
    """Of a camera's yard, under random light, noise and shadow; the unseen pictures are of other moments."""
    model = open_features(find("ssdlite-mobilenet-v2-coco"))
    box = scaled(crops.bounds(gates.ZONE), *gates.SIZE)
    count = 100 if long_run else 17  # of 34 pictures, one is 0.03
    for seen, unseen in _yards()[: None if long_run else 1]:
        examples = [
            Example(f"{state}{nth}", state, f"{state}{nth}", picture, box)
            for state in ("open", "closed")
            for nth, picture in enumerate(gates.pictures(seen, 10, len(state), closed=state == "closed"))
        ]
        subject = Subject("gate", TaughtZone("yard", "gate", gates.ZONE), None)
        checksum = load_description(find("ssdlite-mobilenet-v2-coco")).sha256
        taught = teach(subject, examples, model, checksum, keep_crops=False)
        assert taught.report.advice == ()
        learned = store.decode(store.encode(taught), "the file").learned()
        rates = []
        for nth, state in enumerate(taught.labels):
            pictures = gates.pictures(unseen, count, 100 + nth, closed=state == "closed")
            said = [learned.verdict(model.features(crops.cut(each, box)).astype(float)).label for each in pictures]
            rates.append(said.count(nth) / count)
        assert sum(rates) / 2 >= 0.97
        away = Image.effect_noise((200, 200), 90).convert("RGB")
        assert learned.verdict(model.features(away).astype(float)).label is None


def _yards() -> list[tuple[list[Image.Image], list[Image.Image]]]:
    """Return frames to teach and frames to ask about: of the courtyard, if it is there, and made ones."""
    courtyard = gates.courtyard_frames()
    made = (gates.made_frames(10, 1), gates.made_frames(10, 2))
    return [(courtyard[:10], courtyard[10:]), made] if courtyard else [made]
