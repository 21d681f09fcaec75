"""The summary of a reply: short, most probable first, and bounded."""

import pytest

from camiohookd.wire.reply import Label, Reply, summary


@pytest.mark.parametrize(
    ("reply", "text"),
    [
        (Reply({"1": {"car": Label(0.714), "dog": Label(0.5)}, "2": {"dog": Label(0.9)}}), "dog 0.90, car 0.71"),
        (Reply({"t1": {}, "t2": {}}), "nothing found"),
        (Reply(["cat", "dog"]), "cat, dog"),
        (Reply([]), "nothing found"),
        (Reply([f"label {number}" for number in range(8)]), "label 0, label 1, label 2, label 3, label 4 and 3 more"),
    ],
)  # fmt: skip
def test_names_the_best_labels_of_all_pictures(reply: Reply, text: str) -> None:
    assert summary(reply) == text


def test_is_short_for_any_labels() -> None:
    assert len(summary(Reply({"t": {f"{number}" * 200: Label(0.5) for number in range(1000, 1100)}}))) < 300
