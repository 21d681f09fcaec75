"""Make the worker from the settings."""

from importlib.metadata import version

from camiohookd.config.detail import Looking
from camiohookd.config.load import Config
from camiohookd.delivery import AllowList, Sender, trusted_certificates
from camiohookd.labelers.open import longest_seconds
from camiohookd.monitoring.activity import Activity
from camiohookd.monitoring.metrics import Metrics
from camiohookd.queue.store_thread import StoreThread
from camiohookd.worker.event_labeler import EventLabeler
from camiohookd.worker.worker import Worker


def looking_of(config: Config) -> Looking:
    """Return how pictures are looked at where no rule says it."""
    labeler = config.labeler
    return Looking(labeler.detail, labeler.static, labeler.static_labels)


def make_worker(
    config: Config,
    event_labeler: EventLabeler,
    allow_list: AllowList,
    threads: int,
    metrics: Metrics,
    activity: Activity,
    store: StoreThread,
) -> Worker:
    """Return the worker, to be started; it labels on `threads` threads."""
    callback = config.callback
    sender = Sender(
        version("camiohookd"),
        connect_timeout=callback.connect_timeout,
        read_timeout=callback.read_timeout,
        deadline=callback.timeout,
        certificates=trusted_certificates(callback.ca),
    )
    return Worker(
        store,
        event_labeler=event_labeler,
        sender=sender,
        allow_list=allow_list,
        metrics=metrics,
        activity=activity,
        threads=threads,
        deliveries=callback.concurrency,
        labeler_deadline=max(map(longest_seconds, config.labelers)),
    )
