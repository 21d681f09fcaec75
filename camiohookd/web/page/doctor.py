"""``/doctor``: run ``camiohookd doctor`` when the owner asks for it, and show its findings."""

from collections.abc import Sequence
from itertools import groupby

from camiohookd.web.page.doctor_process import DoctorFinding
from camiohookd.web.page.endpoint import Form, PageEndpoint

REFRESH_SECONDS = 2
MARKS = {
    "ok": ("ok", "ok"),
    "warning": ("warning", "warn"),
    "failed": ("failed", "bad"),
    "not checked": ("not checked", ""),
}


class DoctorPage(PageEndpoint):
    """``/doctor``; while the doctor runs, the browser reloads the page."""

    methods = ("GET", "HEAD", "POST")

    async def show(self) -> None:
        report = self.page.sources.doctor.latest()
        if report.is_running:
            self.set_header("Refresh", str(REFRESH_SECONDS))
        outcomes = [finding.outcome for finding in report.findings]
        self.show_page(
            "doctor",
            report=report,
            groups=[(name, list(each)) for name, each in groupby(report.findings, lambda finding: finding.group)],
            marks=MARKS,
            troubles=[each for each in report.findings if each.outcome in ("failed", "warning")],
            verdict=verdict(report.findings),
            status="bad" if "failed" in outcomes or report.problem else "warn" if "warning" in outcomes else "ok",
        )

    async def act(self, form: Form) -> None:  # noqa: ARG002  # it has a token and no more
        self.page.sources.doctor.start()
        self.go_to("/doctor")


def verdict(findings: Sequence[DoctorFinding]) -> str:
    """Return the result of all findings in a few words."""
    counts = {outcome: sum(finding.outcome == outcome for finding in findings) for outcome in MARKS}
    told = [
        f"{counts[outcome]} {MARKS[outcome][0]}" for outcome in ("failed", "warning", "not checked") if counts[outcome]
    ]
    return ", ".join(told) or "All is well"
