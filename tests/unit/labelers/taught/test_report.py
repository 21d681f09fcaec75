"""How well labels were learned, as it is told to the owner."""

from camiohookd.labelers.taught.report import Report, ShownExample, judge, table
from camiohookd.labelers.taught.unknown import Decision


def report(*said: tuple[int, int | None]) -> Report:
    """Judge pictures of an event each, given as the number of the label that is shown and of the one that is said."""
    shown = [ShownExample(f"{nth}.jpg", label, nth, f"pixels {nth}") for nth, (label, _) in enumerate(said)]
    return judge(("open", "closed"), shown, [Decision(label, 0.9, 0.1) for _, label in said])


def test_all_right() -> None:
    found = report(*[(0, 0)] * 5, *[(1, 1)] * 6)
    assert (found.accuracy, found.wrong, found.advice) == (1.0, (), ())
    assert found.confusion == ((5, 0, 0), (0, 6, 0))


def test_the_labels_count_alike_and_the_unknown_is_wrong() -> None:
    found = report(*[(0, 0)] * 18, (0, None), (0, 1), *[(1, 1)] * 3, *[(1, 0)] * 3)
    assert found.accuracy == (0.9 + 0.5) / 2
    assert [(each.source, each.said) for each in found.wrong[:2]] == [("18.jpg", None), ("19.jpg", "closed")]
    assert found.advice == ("add pictures of closed such as 23.jpg, 24.jpg, 25.jpg",)


def test_too_few_pictures() -> None:
    found = judge(("open", "closed"), [ShownExample("a", 0, 0, "x"), ShownExample("b", 1, 1, "y")], [None, None])
    assert found.accuracy is None
    assert found.advice == (
        "add 4 pictures of open: it has 1",
        "add pictures of open from another event: all are from one, so it cannot be judged",
        "add 4 pictures of closed: it has 1",
        "add pictures of closed from another event: all are from one, so it cannot be judged",
    )


def test_one_picture_with_two_labels() -> None:
    shown = [ShownExample(f"{label}/{nth}.jpg", label, nth, f"pixels {nth}") for label in (0, 1) for nth in range(5)]
    found = judge(("open", "closed"), shown, [Decision(each.label, 0.9, 0.1) for each in shown])
    assert found.advice[0] == "the same picture is given as open (0/0.jpg) and as closed (1/0.jpg); leave one out"


def test_the_table_is_aligned() -> None:
    assert table(report((0, 0), (0, 1), (1, 1), (1, None))) == [
        "SHOWN \\ SAID   open  closed  unknown",
        "open              1       1        0",
        "closed            0       1        1",
    ]
