"""How much of everything: `small` shows that all works, `full` is meant to be believed."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """Times are seconds. Counts of subscribers are open subscriptions, one socket each unless a workload says more."""

    users: int
    requests: int
    seconds: float
    """How long each rate is measured."""
    warm_up: float
    fan_out: tuple[int, ...]
    fan_out_rich: tuple[int, ...]
    own_streams: tuple[int, ...]
    """W4d: all open subscriptions; the first hundred are those that hear something."""
    own_events: int
    paced: int
    """W5: subscribers who get 10 changes a second."""
    idle: tuple[int, ...]
    resuming: int
    """W7: how many subscribers resume, and as many go on live beside them."""
    events_back: int
    storm_seconds: float
    """W7: the longest that the resuming is watched."""
    backlog: int
    backlog_seconds: float
    """W8: the longest that the draining is watched."""
    queue_sizes: tuple[int, ...]


SIZES = {
    "small": Size(
        users=200,
        requests=2_000,
        seconds=1.5,
        warm_up=0.5,
        fan_out=(20, 100),
        fan_out_rich=(50,),
        own_streams=(100, 300),
        own_events=200,
        paced=100,
        idle=(200,),
        resuming=20,
        events_back=500,
        storm_seconds=5,
        backlog=2_000,
        backlog_seconds=20,
        queue_sizes=(1_000, 10_000),
    ),
    "full": Size(
        users=10_000,
        requests=100_000,
        seconds=5,
        warm_up=1.5,
        fan_out=(100, 1_000, 5_000),
        fan_out_rich=(1_000,),
        own_streams=(100, 1_000, 10_000),
        own_events=700,
        paced=1_000,
        idle=(1_000, 5_000),
        resuming=1_000,
        events_back=10_000,
        storm_seconds=20,
        backlog=100_000,
        backlog_seconds=120,
        queue_sizes=(1_000, 1_000_000),
    ),
}
