"""List the paths of the status page."""

from importlib.metadata import version

from tornado.routing import Rule
from tornado.web import url

from camiohookd.web.access import Access
from camiohookd.web.page.cameras import CamerasPage, ZonesPage, ZonesPreview
from camiohookd.web.page.doctor import DoctorPage
from camiohookd.web.page.endpoint import PageContext, UnknownPage
from camiohookd.web.page.event import EventAction, EventPage, ReplayPage
from camiohookd.web.page.events import EventsPage, Thumbnail
from camiohookd.web.page.export import ExportFile
from camiohookd.web.page.failed import FailedPage
from camiohookd.web.page.feed import Feed
from camiohookd.web.page.live import Live
from camiohookd.web.page.login import LoginPage, Logout
from camiohookd.web.page.now import NowPage, live_numbers, now_of
from camiohookd.web.page.sources import Sources
from camiohookd.web.page.static import StaticFile
from camiohookd.web.page.teach import PATH, TeachPage
from camiohookd.web.page.test_event import TestEventPage
from camiohookd.web.page.trends import TrendsData, TrendsPage


def pages(access: Access, sources: Sources) -> list[Rule]:
    """Return the paths of the status page, for `admin_application`; the last one matches every other path."""
    feed = Feed(lambda: live_numbers(now_of(sources.report())), sources.is_busy)
    sources.history.watch(feed.event_changed)
    page = PageContext(access, sources, feed, version("camiohookd"))
    parts = {"page": page}
    return [
        url("/", NowPage, parts),
        url("/failed", FailedPage, parts),
        url("/events", EventsPage, parts),
        url("/events/[0-9]{1,19}", EventPage, parts),
        url("/events/[0-9]{1,19}/(?:retry|drop)", EventAction, parts),
        url("/events/[0-9]{1,19}/replay", ReplayPage, parts),
        url(r"/events/[0-9]{1,19}/export\.zip", ExportFile, parts),
        url(r"/events/[0-9]{1,19}/pictures/[0-9]{1,4}\.jpg", Thumbnail, parts),
        url("/trends", TrendsPage, parts),
        url("/trends/data", TrendsData, parts),
        url("/cameras", CamerasPage, parts),
        url("/cameras/zones", ZonesPage, parts),
        url("/cameras/preview", ZonesPreview, parts),
        url(PATH, TeachPage, parts),
        url("/doctor", DoctorPage, parts),
        url("/test", TestEventPage, parts),
        url("/live", Live, parts),
        url("/login", LoginPage, parts),
        url("/logout", Logout, parts),
        url("/static/[A-Za-z0-9.-]+", StaticFile, {"files": page.static}),
        url(".*", UnknownPage, parts),
    ]
