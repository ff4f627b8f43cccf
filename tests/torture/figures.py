"""The summary of a run."""

from collections.abc import Sequence
from itertools import pairwise

from gql_app.deliveries.models import Channel
from tests.torture.chaos import Diary
from tests.torture.found import Found
from tests.torture.sites import Site
from tests.torture.subscribers import Met, Subscriber
from tests.torture.told import Told
from tests.torture.verify import Message, Reception, twice

MARGIN = 2.0
"""Seconds before and after a disturbance that are not quiet."""


def latency(met: Met, diary: Diary, disturbed: set[str]) -> str:
    """How long events took from the commit to a subscriber while this, and nothing else, was disturbed."""
    moments = {moment for moment, _ in met.latencies}
    chosen = {m for m in moments if diary.at(m, MARGIN) == disturbed and diary.at(m, 0) == disturbed}
    times = sorted(seconds for moment, seconds in met.latencies if moment in chosen)
    if not times:
        return "not measured"
    p50, p99 = (times[int(len(times) * share)] * 1000 for share in (0.5, 0.99))
    return f"p50 {p50:.0f} ms, p99 {p99:.0f} ms, longest {times[-1] * 1000:.0f} ms ({len(times)} arrivals)"


def counted(counter: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in sorted(counter.items(), key=lambda item: -item[1])) or "none"


def figures(
    times: Sequence[float],
    sites: Sequence[Site],
    diary: Diary,
    told: Told,
    found: Found,
    subscribers: Sequence[Subscriber],
    met: Met,
    sms: Sequence[Message],
    mails: Sequence[Message],
) -> str:
    """One line per subject; ``times`` are when it began, all ran, the chaos ended, all was said, all was verified."""
    spans = [end - begin for begin, end in pairwise(times)]
    receptions = [Reception.of(subscriber, found) for subscriber in subscribers]
    kills = {kind: sum(s.kills for s in sites if s.serves is serves) for kind, serves in _KINDS}
    refused = sum(site.refused_starts for site in sites)
    repeats = len(mails) - len({mail["message_id"] for mail in mails})
    too_many, missing = twice(found, sms)
    cuts = [f"Redis {diary.counts['Redis']} (of one process {diary.counts['Redis of one']})"]
    cuts.append(f"PostgreSQL {diary.counts['PostgreSQL']} (slow {diary.counts['slow']})")
    return "\n".join(
        (
            "time        {:.0f} s to begin, {:.0f} s of chaos, {:.0f} s to drain, {:.0f} s to verify".format(*spans),
            f"kills       servers {kills['servers']}, workers {kills['workers']}; given up at the start {refused}",
            f"cuts        {', '.join(cuts)}",
            f"mutations   {told.acknowledged} acknowledged, {found.committed} committed",
            f"answers     {counted(told.answers)}",
            f"events      {len(found.log)}",
            f"subscribers {len(subscribers)}, connections {sum(s.connections for s in subscribers)}, "
            f"due {sum(r.due for r in receptions)}, missed {sum(r.missed for r in receptions)}, "
            f"repeated {sum(r.repeated for r in receptions)}, out of order {sum(r.disordered for r in receptions)}",
            f"endings     {counted(met.ends)}",
            f"SMS         owed {len(found.by(Channel.SMS))}, arrived {len(sms)}, twice {too_many}, never {missing}",
            f"mails       owed {len(found.by(Channel.EMAIL))}, arrived {len(mails)}, repeats {repeats}",
            f"quiet       {latency(met, diary, set())}",
            f"Redis down  {latency(met, diary, {'Redis'})}",
        )
    )


_KINDS = (("servers", True), ("workers", False))
