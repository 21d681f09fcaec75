"""What Prometheus reads: counters and histograms, and the queue's numbers at the moment of a scrape.

worker, web ─▶ `Metrics` ─┐
store ─▶ `QueueSnapshot` ─┴▶ `registry` ─▶ ``/metrics``

Names follow https://prometheus.io/docs/practices/naming/. The values of a label are words of this program, never of
requests, so that their number is bounded. Any thread may use all of it.
"""

from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.gc_collector import GCCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from camiohookd.queue.task import Cause
from camiohookd.queue.views import QueueSnapshot

PREFIX = "camiohookd"

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0
_WAIT_BUCKETS = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, MINUTE, 5 * MINUTE, 15 * MINUTE, HOUR, 6 * HOUR, DAY, 7 * DAY)
_DECODE_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5)
_INFERENCE_BUCKETS = (0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
_DELIVERY_BUCKETS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, MINUTE)


LOOKS = ("whole", "some_tiles", "all_tiles")


class Metrics:
    """One set of metrics in a registry of its own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self._count_events()
        self._time_steps()
        self._watch_parts()

    def _count_events(self) -> None:
        self.events_accepted = self._counter("events_accepted", "Events that were stored and answered 200.")
        self.events_duplicate = self._counter("events_duplicate", "Events that had been accepted before.")
        self.events_refused = self._counter("events_refused", "Posts answered with an error, by error code.", "code")
        self.pictures_rejected = self._counter("pictures_rejected", "Pictures of accepted events that were left out.")
        self.events_labelled = self._counter("events_labelled", "Events whose reply was stored.")
        self.pictures_labelled = self._counter(
            "pictures_labelled", "Pictures labeled on this machine (home) or by an inference server (remote).", "where"
        )
        for where in ("home", "remote"):  # report 0 before the first picture
            self.pictures_labelled.labels(where)
        self._looks = self._counter(
            "looks",
            "Pictures by how closely they were looked at: as a whole, in some or in all of the planned tiles.",
            "at",
        )
        for at in LOOKS:
            self._looks.labels(at)
        self._tiles = self._counter("tiles", "Tiles of pictures that were looked at.")
        self.events_delivered = self._counter("events_delivered", "Events whose labels were delivered.")
        self.delivery_retries = self._counter("delivery_retries", "Deliveries that will be tried again.")
        self.tasks_failed = self._counter("tasks_failed", "Events given up, by cause.", "reason")
        for cause in Cause:  # from 0: Prometheus' increase() does not see the first one of a series that begins with it
            self.tasks_failed.labels(cause.value)

        self.tasks_leaked = self._counter("tasks_leaked", "Tasks given back that no part worked on: internal errors.")

    def _time_steps(self) -> None:
        self.wait_seconds = self._histogram("wait", "From the 200 to the start of labeling.", _WAIT_BUCKETS)
        self.decode_seconds = self._histogram("decode", "Decoding one picture, from file to pixels.", _DECODE_BUCKETS)
        self.inference_seconds = self._histogram("inference", "Finding the objects of a picture.", _INFERENCE_BUCKETS)
        self.delivery_seconds = self._histogram("delivery", "One delivery try.", _DELIVERY_BUCKETS)

    def _watch_parts(self) -> None:
        self.degraded = self._gauge("degraded", "1 while the CPU labels in place of the chosen device or servers.")
        self.draining = self._gauge("draining", "1 while new events are refused by camiohookd drain.")
        self._labeler_up = self._gauge("labeler_up", "1 while a labeler works, by its name.", "labeler")
        self._labeler_failures = self._counter(
            "labeler_failures", "Events and pictures that a labeler gave no labels for.", "labeler"
        )
        self._server_up = self._gauge(
            "inference_server_up", "1 while an inference server is asked, 0 while it rests after failures.", "server"
        )
        self._server_failures = self._counter(
            "inference_server_failures", "Requests that an inference server gave no usable answer to.", "server"
        )
        self._certificate = self._gauge(
            "certificate_expires_timestamp_seconds", "When a listener's certificate expires.", "listener"
        )
        self._expiries: dict[str, float | None] = {}

    def looked_at(self, tiles: int, planned: int) -> None:
        """Count a picture that was looked at as a whole and in so many of the `planned` tiles."""
        self._looks.labels("whole" if not tiles else "all_tiles" if tiles == planned else "some_tiles").inc()
        self._tiles.inc(tiles)

    def labelled_so_far(self) -> float:
        """Return the number of events labeled since the start."""
        return self.registry.get_sample_value(f"{PREFIX}_events_labelled_total") or 0.0

    def is_degraded(self) -> bool:
        """Return whether labeling runs on a fallback."""
        return bool(self.registry.get_sample_value(f"{PREFIX}_degraded"))

    def works(self, name: str, works: bool) -> None:
        """Set whether the labeler of that name works."""
        self._labeler_up.labels(name).set(works)
        self._labeler_failures.labels(name)  # from 0, as the series of tasks_failed

    def failed(self, name: str) -> None:
        """Count an event or a picture that the labeler of that name gave no labels for."""
        self._labeler_failures.labels(name).inc()

    def server(self, name: str, works: bool) -> None:
        """Set whether the inference server of that name, which the settings give, is asked."""
        self._server_up.labels(name).set(works)
        self._server_failures.labels(name)  # from 0, as above

    def server_failed(self, name: str) -> None:
        """Count a request that the inference server gave no usable answer to."""
        self._server_failures.labels(name).inc()

    def certificate_expires(self, when: float | None, listener: str = "hook") -> None:
        """Set the Unix time at which the certificate of `listener` expires; None if it has none."""
        self._expiries = {**self._expiries, listener: when}
        self._certificate.clear()
        for name, expiry in self._expiries.items():
            if expiry is not None:
                self._certificate.labels(name).set(expiry)

    def watch_queue(self, snapshot: Callable[[], QueueSnapshot]) -> None:
        """Read the queue's numbers from `snapshot` at every scrape. It must not block."""
        self.registry.register(_QueueCollector(snapshot))

    def _counter(self, name: str, meaning: str, *labels: str) -> Counter:
        return Counter(name, meaning, labels, namespace=PREFIX, registry=self.registry)

    def _gauge(self, name: str, meaning: str, *labels: str) -> Gauge:
        return Gauge(name, meaning, labels, namespace=PREFIX, registry=self.registry)

    def _histogram(self, name: str, meaning: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(name, meaning, namespace=PREFIX, unit="seconds", buckets=buckets, registry=self.registry)


class _QueueCollector:
    def __init__(self, snapshot: Callable[[], QueueSnapshot]) -> None:
        self._snapshot = snapshot

    def describe(self) -> Iterable[Metric]:
        """Return the names only: at registration the queue may not be open yet."""
        return _families(QueueSnapshot({}, 0, 0, 0, 0, 0, {}))

    def collect(self) -> Iterable[Metric]:
        return _families(self._snapshot())


def _families(queue: QueueSnapshot) -> list[Metric]:
    tasks = GaugeMetricFamily(f"{PREFIX}_queue_tasks", "Tasks in the queue, by state.", labels=["state"])
    for state, count in queue.tasks.items():
        tasks.add_metric([state], count)
    quarantined = CounterMetricFamily(
        f"{PREFIX}_quarantined", "Damaged records that were set aside, by kind.", labels=["kind"]
    )
    for kind, count in queue.quarantined.items():
        quarantined.add_metric([kind], count)
    return [
        tasks,
        quarantined,
        _gauge("queue_oldest_age_seconds", "Age of the oldest waiting task.", queue.oldest_seconds),
        _gauge("queue_stored_bytes", "Disk space of the queue.", queue.stored_bytes),
        _gauge("disk_free_bytes", "Free space on the queue's disk.", queue.free_bytes),
        _gauge("written_bytes_per_event", "Bytes that the queue writes per event.", queue.written_bytes_per_event),
        CounterMetricFamily(f"{PREFIX}_written_bytes", "Bytes that the queue has written.", value=queue.written_bytes),
    ]


def _gauge(name: str, meaning: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"{PREFIX}_{name}", meaning, value=value)
