"""The objects in the bundled photographs, and what replies must therefore say.

One reply (`misplaced`): the outline of a known object must lie on the object, and not where it would lie if y were
counted from the top. A single object may be missing: a weaker model, or one with other labels, may not find it.

All replies of a run that sent every bundled photograph (`why_implausible`): at least one of the objects must be found.
Only the cup and the bench tell up from down. The others fill their photographs from top to bottom, so that outlines
that are upside down fit them, too.
"""

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NamedTuple

SAMPLES = Path(__file__).resolve().parents[2] / "samples"

MIN_OVERLAP = 0.3
"""Intersection over union; low, because models differ in what belongs to an object: the saucer, the helmet."""

CLEARLY_MORE = 0.1


class Area(NamedTuple):
    """An upright box in fractions of the picture, y up."""

    left: float
    bottom: float
    right: float
    top: float

    def mirrored(self) -> "Area":
        """Return the area with y counted from the other side."""
        return self._replace(bottom=1 - self.top, top=1 - self.bottom)

    def overlap(self, other: "Area") -> float:
        """Return the intersection over union, 0 to 1."""
        from camiohookd.pictures.overlap import overlaps  # loads numpy, which takes time

        return float(overlaps([self], [other])[0, 0])


class KnownObject(NamedTuple):
    """`label` is its name in COCO."""

    label: str
    area: Area


Objects = tuple[KnownObject, ...]

KNOWN: dict[Path, Objects] = {
    SAMPLES / "astronaut.jpg": (KnownObject("person", Area(0.04, 0.00, 0.75, 0.97)),),
    SAMPLES / "chelsea.jpg": (KnownObject("cat", Area(0.00, 0.00, 0.89, 1.00)),),
    SAMPLES / "coffee.jpg": (KnownObject("cup", Area(0.29, 0.23, 0.70, 0.95)),),
    SAMPLES / "motorcycle_left.jpg": (
        KnownObject("motorcycle", Area(0.13, 0.10, 0.93, 0.87)),
        KnownObject("bench", Area(0.05, 0.40, 0.42, 0.78)),
    ),
}
ALL = frozenset(one for objects in KNOWN.values() for one in objects)


class Sightings(NamedTuple):
    """The known objects in the pictures that were sent, and the ones that were found by name."""

    shown: frozenset[KnownObject]
    found: frozenset[KnownObject]


NOTHING = Sightings(frozenset(), frozenset())


def misplaced(known: KnownObject, outline: Collection[tuple[float, float]]) -> str | None:
    """Return what is wrong with the place of an outline of `known` (points in fractions); None if it lies on it."""
    columns, rows = zip(*outline, strict=True)
    area = Area(min(columns), min(rows), max(columns), max(rows))
    overlap = area.overlap(known.area)
    if area.mirrored().overlap(known.area) > overlap + CLEARLY_MORE:
        return "the outline lies where it would if y were counted from the top; (0, 0) is the bottom-left corner"
    if overlap < MIN_OVERLAP:
        return f"the outline does not lie on the {known.label} of this photograph"
    return None


def why_implausible(every: Iterable[Sightings], labels: Collection[str]) -> str | None:
    """Return why the valid replies of a run cannot be those of a working hook; None if they can.

    `labels` are all that came.
    """
    shown, found = (frozenset[KnownObject]().union(*each) for each in zip(*every, strict=True))
    if shown != ALL:
        return None
    if not found:
        names = ", ".join(f"a {one.label}" for objects in KNOWN.values() for one in objects)
        what = f"only {', '.join(sorted(labels)[:5])}" if labels else "nothing"
        return f"{what} was found on the bundled pictures, which show {names}"
    return None
