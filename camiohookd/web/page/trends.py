"""``/trends``: show numbers of the last hour, day and week, as charts and, without scripts, as a table."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from camiohookd.monitoring.history.views import Span, Trends
from camiohookd.units import duration
from camiohookd.web.page.endpoint import PageEndpoint

SPANS: dict[Span, str] = {"hour": "Last hour", "day": "Last day", "week": "Last week"}


class Period(NamedTuple):
    """A period with the same device; times are in seconds since 1970."""

    begins: int
    ends: int
    device: str
    degraded: bool


class TrendsPage(PageEndpoint):
    """``/trends?span=day``."""

    async def show(self) -> None:
        span = span_of(self.parameter("span"))
        trends = await self.page.sources.history.trends(span)
        self.show_page(
            "trends",
            span=span,
            spans=SPANS,
            sums=_sums(trends),
            labels=[(name or "others", _sum(counts)) for name, counts in trends.labels.items()],
            periods=periods(trends),
        )


class TrendsData(PageEndpoint):
    """``/trends/data?span=day``: a `Trends` as JSON."""

    async def show(self) -> None:
        trends = await self.page.sources.history.trends(span_of(self.parameter("span")))
        self.set_header("Content-Type", "application/json")
        self.reply(200, trends)


def span_of(text: str) -> Span:
    """Return the span named `text`; "day" for any other text."""
    return next((span for span in SPANS if span == text), "day")


def periods(trends: Trends) -> list[Period]:
    """Return the periods by device, newest first."""
    found: list[Period] = []
    for begins, device, degraded in zip(trends.times, trends.device, trends.degraded, strict=True):
        if device is None:
            continue
        last = found[-1] if found else None
        if last and (last.device, last.degraded, last.ends) == (device, bool(degraded), begins):
            found[-1] = last._replace(ends=begins + trends.step)
        else:
            found.append(Period(begins, begins + trends.step, device, bool(degraded)))
    return found[::-1]


def _sums(trends: Trends) -> Sequence[tuple[str, str]]:
    counts = (
        ("Events accepted", trends.accepted),
        ("Events labeled", trends.labelled),
        ("Events delivered", trends.delivered),
        ("Events failed", trends.failed),
        ("Pictures labeled", trends.pictures),
    )
    rows = [(name, f"{_sum(values):,}") for name, values in counts]
    rows.append(("Most events waiting", f"{max((each for each in trends.depth if each is not None), default=0):,}"))
    slowest = max((each for each in trends.total_p95 if each is not None), default=None)
    rows.append(("95 % delivered within, at worst", duration(slowest) if slowest is not None else "none"))
    return rows


def _sum(values: Iterable[int | None]) -> int:
    return sum(each for each in values if each is not None)
