"""The metrics for Prometheus."""

from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from camiohookd.monitoring.metrics import Metrics
from camiohookd.queue.views import QueueSnapshot

SNAPSHOT = QueueSnapshot(
    tasks={"pending": 3, "labelled": 2, "done": 7, "failed": 1},
    oldest_seconds=12.5,
    stored_bytes=4096,
    free_bytes=10**9,
    written_bytes=123456,
    written_bytes_per_event=2048.5,
    quarantined={"journal": 1, "segment": 0, "snapshot": 0},
)


def samples(registry: CollectorRegistry) -> Iterator[tuple[str, dict[str, str], float]]:
    for family in text_string_to_metric_families(generate_latest(registry).decode()):
        for sample in family.samples:
            yield sample.name, sample.labels, sample.value


def value(metrics: Metrics, name: str, **labels: str) -> float | None:
    return metrics.registry.get_sample_value(f"camiohookd_{name}", labels)


def test_every_documented_metric_exists_before_the_first_event() -> None:
    metrics = Metrics()
    metrics.watch_queue(lambda: SNAPSHOT)
    names = {family.name for family in metrics.registry.collect()}
    assert {
        f"camiohookd_{name}"
        for name in (
            *("events_accepted", "events_duplicate", "events_refused", "pictures_rejected", "events_labelled"),
            *("looks", "tiles"),
            *("events_delivered", "delivery_retries", "tasks_failed", "queue_tasks", "queue_oldest_age_seconds"),
            *("wait_seconds", "decode_seconds", "inference_seconds", "delivery_seconds", "degraded"),
            *("written_bytes", "written_bytes_per_event", "quarantined", "disk_free_bytes", "queue_stored_bytes"),
        )
    } <= names
    assert "python_info" in names
    assert "process_resident_memory_bytes" in names


def test_reads_the_queue_at_every_scrape() -> None:
    taken: list[QueueSnapshot] = []

    def snapshot() -> QueueSnapshot:
        taken.append(SNAPSHOT)
        return SNAPSHOT

    metrics = Metrics()
    metrics.watch_queue(snapshot)
    assert taken == []
    generate_latest(metrics.registry)
    generate_latest(metrics.registry)
    assert len(taken) == 2


@pytest.mark.parametrize(
    ("name", "labels", "expected"),
    [
        ("queue_tasks", {"state": "pending"}, 3),
        ("queue_tasks", {"state": "failed"}, 1),
        ("queue_oldest_age_seconds", {}, 12.5),
        ("written_bytes_total", {}, 123456),
        ("written_bytes_per_event", {}, 2048.5),
        ("quarantined_total", {"kind": "journal"}, 1),
        ("disk_free_bytes", {}, 10**9),
    ],
)
def test_the_queues_metrics_equal_the_snapshot(name: str, labels: dict[str, str], expected: float) -> None:
    metrics = Metrics()
    metrics.watch_queue(lambda: SNAPSHOT)
    assert value(metrics, name, **labels) == expected


def test_counts_failures_by_reason() -> None:
    metrics = Metrics()
    metrics.events_accepted.inc()
    metrics.events_accepted.inc()
    metrics.tasks_failed.labels("expired").inc()
    assert value(metrics, "events_accepted_total") == 2
    assert value(metrics, "tasks_failed_total", reason="expired") == 1


def test_shows_a_certificates_expiry_only_with_a_certificate() -> None:
    metrics = Metrics()
    name = "certificate_expires_timestamp_seconds"
    assert value(metrics, name, listener="hook") is None
    metrics.certificate_expires(1.8e9)
    assert value(metrics, name, listener="hook") == 1.8e9
    metrics.certificate_expires(None)
    assert value(metrics, name, listener="hook") is None


def test_a_wait_of_two_days_has_a_finite_bucket() -> None:
    metrics = Metrics()
    metrics.wait_seconds.observe(2 * 86400)
    assert value(metrics, "wait_seconds_bucket", le="604800.0") == 1
    assert value(metrics, "wait_seconds_bucket", le="86400.0") == 0


def test_two_sets_of_metrics_do_not_share_anything() -> None:
    first, second = Metrics(), Metrics()
    first.degraded.set(1)
    assert value(second, "degraded") == 0


def test_exposes_few_series_in_prometheus_format() -> None:
    metrics = Metrics()
    metrics.watch_queue(lambda: SNAPSHOT)
    ours = [name for name, _, _ in samples(metrics.registry) if name.startswith("camiohookd_")]
    assert 0 < len(ours) < 150
