"""What can be set in a `[[rule]]` and in its zones."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from camiohookd.config.detail import Detail, Static
from camiohookd.wire.reply import LabelsFormat

Fraction = Annotated[float, Meta(ge=0, le=1)]
Probability = Fraction
LabelName = Annotated[str, Meta(min_length=1, max_length=200)]


class Zone(Struct, frozen=True):
    """A part of the camera's picture; a rule can have any number of zones.

    An object is inside if the middle of the bottom edge of its box is, where it touches the ground.
    """

    name: Annotated[
        str, Meta(min_length=1, description="The name of the zone in explanations of labels.", examples=["drive"])
    ]
    polygon: Annotated[
        tuple[tuple[Fraction, Fraction], ...],
        Meta(
            min_length=3,
            description="The corners as [x, y] in fractions of the picture: [0, 0] is the top left, [1, 1] the bottom "
            "right.",
            examples=[((0.1, 0.5), (0.9, 0.5), (1.0, 1.0), (0.0, 1.0))],
        ),
    ]
    kind: Annotated[
        Literal["include", "exclude", "state"],
        Meta(
            description="include: objects outside all include zones are left out; exclude: objects inside are left "
            'out; state: no object is left out, it is a place whose state is taught ("camiohookd teach").'
        ),
    ] = "include"


class Rule(Struct, frozen=True):
    """What is sent for a camera; there can be any number of rules, and the most specific one applies.

    An exact camera name wins, otherwise the pattern with the most characters other than "*", then the first rule.
    """

    camera: Annotated[
        str, Meta(description='The name of the camera, or a pattern: "*" stands for any characters, also none.')
    ] = "*"
    labels_format: Annotated[
        LabelsFormat,
        Meta(description="image: the labels of each picture, with outlines; event: Camio's older flat list of labels."),
    ] = "image"
    detail: Annotated[
        Detail | None,
        Meta(
            description="How closely this camera's pictures are looked at; if not set, as detail under [labeler] says.",
            examples=["2x2"],
        ),
    ] = None
    static: Annotated[
        Static | None,
        Meta(
            description="What is done with an object that is always there; if not set, as static under [labeler] says.",
            examples=["drop"],
        ),
    ] = None
    min_probability: Annotated[
        Probability | None,
        Meta(
            description="Labels with a lower probability are left out; if not set, the model's own threshold applies.",
            examples=[0.5],
        ),
    ] = None
    min_probability_of: Annotated[
        dict[str, Probability],
        Meta(
            description="The least probability of single labels, such as { person = 0.4, dog = 0.7 }; for these it "
            "replaces min_probability."
        ),
    ] = {}
    labels: Annotated[
        tuple[str, ...],
        Meta(
            description='The only labels to send, by the names that "camiohookd labels" lists; an empty list sends all.'
        ),
    ] = ()
    ignore_labels: Annotated[tuple[str, ...], Meta(description="Labels that are never sent.")] = ()
    label_map: Annotated[
        dict[str, LabelName],
        Meta(
            description='Labels to send under another name, such as { person = "people" }; the other settings of the '
            "rule use the original names."
        ),
    ] = {}
    min_area: Annotated[
        Fraction,
        Meta(
            description="Objects whose box covers a smaller part of the picture are left out; 0.01 is a hundredth of "
            "the picture."
        ),
    ] = 0.0
    max_area: Annotated[
        Fraction, Meta(description="Objects whose box covers a larger part of the picture are left out.")
    ] = 1.0
    nothing_label: Annotated[
        LabelName | None,
        Meta(description="The label to send for an event in which nothing is found.", examples=["nothing"]),
    ] = None
    zone: tuple[Zone, ...] = ()
