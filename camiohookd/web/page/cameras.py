"""``/cameras``: a card for each camera. ``/cameras/zones``: the editor for its zones.

The editor writes no settings: ``/cameras/preview`` turns zones into the text of a rule, and says which of the last
objects that rule would send. The code that decides this is the same as for events.
"""

from typing import Any, NamedTuple

import msgspec

from camiohookd import rules
from camiohookd.config import rule_text
from camiohookd.config.rule import Rule, Zone
from camiohookd.errors import ConfigError
from camiohookd.monitoring.history.views import CameraView, EventDetails, RecentDetection
from camiohookd.pictures.detections import Box, Detection
from camiohookd.web.page.cards import thumbnail_address
from camiohookd.web.page.drawing import hex_color
from camiohookd.web.page.endpoint import PageEndpoint
from camiohookd.web.page.sources import Sources
from camiohookd.web.server import error_responses
from camiohookd.web.server.error_responses import Refused

DETECTIONS = 50
MOST_LOOKED_AT = 1000
"""Objects, including improbable ones, that are searched for the editor."""


class CameraCard(NamedTuple):
    """A camera and the address of its last picture, None if there is none."""

    camera: CameraView
    picture: str | None


class DrawnDetection(NamedTuple):
    """A detection for the editor, in fractions of the picture."""

    label: str
    probability: float
    box: tuple[float, float, float, float]
    foot: tuple[float, float]
    color: str


class Preview(msgspec.Struct, frozen=True):
    """`text` is the rule; `left_out` says why each detection would not be sent (None: it would)."""

    text: str
    left_out: list[str | None]
    replaces: bool
    problem: str = ""


class CamerasPage(PageEndpoint):
    """``/cameras``."""

    async def show(self) -> None:
        views = await self.page.sources.history.cameras()
        cards = [CameraCard(view, thumbnail_address(*view.picture) if view.picture else None) for view in views]
        self.show_page("cameras", cards=cards)


async def chosen_camera(endpoint: PageEndpoint) -> CameraView:
    """Return the camera that the query names. Raises `Refused` if the history does not know it."""
    name = endpoint.parameter("camera")
    for view in await endpoint.page.sources.history.cameras():
        if view.name == name:
            return view
    raise Refused(error_responses.UNKNOWN_PATH)


class ZonesPage(PageEndpoint):
    """``/cameras/zones?camera=NAME``."""

    async def show(self) -> None:
        history, view = self.page.sources.history, await chosen_camera(self)
        name = view.name
        address, size = None, (1600, 900)
        if view.picture is not None:
            event_id, number = view.picture
            address, size = thumbnail_address(event_id, number), _size(await history.event(int(event_id)), number)
        rule = self.page.sources.rule_for(name)
        detections = await relevant(self.page.sources, name, rule)
        self.show_page(
            "zones",
            camera=name,
            picture=address,
            width=size[0],
            height=size[1],
            most=DETECTIONS,
            data=msgspec.json.encode(
                {
                    "camera": name,
                    "zones": [{"name": zone.name, "kind": zone.kind, "polygon": zone.polygon} for zone in rule.zone],
                    "detections": [_drawn(each)._asdict() for each in detections],
                }
            ).decode(),
        )


class ZonesPreview(PageEndpoint):
    """``/cameras/preview?camera=NAME&zones=JSON``: a `Preview`."""

    async def show(self) -> None:
        name = self.parameter("camera")
        sources = self.page.sources
        try:
            zones = read_zones(self.parameter("zones"))
        except ConfigError as error:
            self._answer(Preview("", [], replaces=False, problem=str(error)))
            return
        rule = rule_with(sources.rule_for(name), name, zones)
        found = await relevant(sources, name, rule)
        applied = rules.complete(rule, sources.default_probability)
        left_out = [rules.objection(applied, detection_of(each), 1, 1) for each in found]
        is_there = any(other.camera == name for other in sources.rules())
        self._answer(Preview(rule_text.text_of(rule), left_out, replaces=is_there))

    def _answer(self, preview: Preview) -> None:
        self.set_header("Content-Type", "application/json")
        self.reply(200, preview)


async def relevant(sources: Sources, camera: str, rule: Rule) -> list[RecentDetection]:
    """Return the last objects of a camera that `rule` would send if it had no zones, at most `DETECTIONS`."""
    without = rules.complete(msgspec.structs.replace(rule, zone=()), sources.default_probability)
    found = await sources.history.detections(camera, MOST_LOOKED_AT)
    return [each for each in found if rules.objection(without, detection_of(each), 1, 1) is None][:DETECTIONS]


def read_zones(text: str) -> tuple[Zone, ...]:
    """Return the zones in JSON, with corners rounded as in the text of a rule. Raises ConfigError."""
    try:
        zones: Any = msgspec.json.decode(text.encode(), type=tuple[Zone, ...])
    except (msgspec.MsgspecError, UnicodeEncodeError) as error:
        raise ConfigError(f"the zones cannot be read: {error}") from None
    return tuple(
        msgspec.structs.replace(
            zone, polygon=tuple((round(x, rule_text.DIGITS), round(y, rule_text.DIGITS)) for x, y in zone.polygon)
        )
        for zone in zones
    )


def rule_with(present: Rule, camera: str, zones: tuple[Zone, ...]) -> Rule:
    """Return a copy of `present`, the rule that applies to `camera`, for that camera only and with `zones`."""
    return msgspec.structs.replace(present, camera=camera, zone=zones)


def detection_of(found: RecentDetection) -> Detection:
    """Return a detection in a picture of 1 x 1 pixel, in which fractions are pixels."""
    return Detection(found.label, found.probability, Box(*found.box), threshold=found.threshold)


def _drawn(found: RecentDetection) -> DrawnDetection:
    return DrawnDetection(found.label, round(found.probability, 2), found.box, found.foot, hex_color(found.label))


def _size(event: EventDetails | None, number: int) -> tuple[int, int]:
    """Return the width and height of a picture in pixels; 1600 x 900 if they are not known."""
    if event is None or number >= len(event.pictures):
        return 1600, 900
    picture = event.pictures[number]
    return max(picture.width, 1), max(picture.height, 1)
