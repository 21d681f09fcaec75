"""The queue on the disk."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from camiohookd.config.quantities import Count, Duration, OptionalByteSize


class QueueSettings(Struct, frozen=True):
    """The events that wait on the disk to be labeled and delivered."""

    max_tasks: Annotated[Count, Meta(description="The most events waiting; one more is answered 503.")] = 100_000
    max_bytes: Annotated[
        OptionalByteSize,
        Meta(description="The most disk space of the queue. 0: all that is free except min_free_bytes, at most 20 GB."),
    ] = OptionalByteSize(0)
    min_free_bytes: Annotated[OptionalByteSize, Meta(description="The disk space to leave free.")] = OptionalByteSize(
        "200 MB"
    )
    max_age: Annotated[Duration, Meta(description="How long delivery is tried before an event fails.")] = Duration(
        "14d"
    )
    order: Annotated[
        Literal["oldest", "newest"],
        Meta(description="Which event is labeled first; newest: new events before the backlog of an outage."),
    ] = "oldest"
    fair: Annotated[
        bool,
        Meta(description="Whether cameras take turns at being labeled; order then holds within a camera."),
    ] = True
    done_keep: Annotated[
        Duration,
        Meta(description="How long a delivered event is remembered, to recognize duplicates."),
    ] = Duration("24h")
    failed_keep: Annotated[
        Duration, Meta(description="How long a failed event is kept, with its pictures unless disk space is short.")
    ] = Duration("7d")
    max_done: Annotated[Count, Meta(description="The most delivered events to remember.")] = 100_000
    max_failed: Annotated[Count, Meta(description="The most failed events to keep.")] = 10_000
