"""``/test``: send a test event, and show its result."""

from camiohookd.errors import CamiohookdError
from camiohookd.web.page.endpoint import Form, PageEndpoint
from camiohookd.web.page.sources import TestResult


class TestEventPage(PageEndpoint):
    """Sends the event, and waits up to a minute for its labels."""

    methods = ("POST",)

    async def act(self, form: Form) -> None:  # noqa: ARG002  # it has a token and no more
        try:
            result = await self.page.sources.send_test_event()
        except CamiohookdError as error:
            result = TestResult(problems=(str(error),))
        self.show_page("test", result=result)
