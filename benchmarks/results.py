"""The lines of a run as one table: medians over the rounds, and the product's ratios to naive and to raw."""

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

Key = tuple[str, str, str]
"""Workload, case, figure."""

HEADLINES = (
    "requests/s",
    "p99 ms",
    "deliveries/s",
    "events/s",
    "server ms/event",
    "p50 ms",
    "KiB/subscription",
    "busy/quiet",
    "caught up",
    "resumed events/s",
    "messages/s",
    "claim ms",
    "next due ms",
    "sustained",
    "quiet p99 ms",
    "lost",
    "errors",
    "failed",
    "server CPU",
    "load CPU",
)
"""The figures that the table shows; all others are in the JSON lines."""
QUIET_WHEN_ZERO = {"lost", "errors", "failed"}

LIMITS = """\
Compare figures of one run only. "raw" is aiosqlite behind Starlette and a broadcast without a database: it does less.
The product checks a token with every request, writes the change log, owes and captures two messages per decision.
p50, p99 and rates are seen from the client. "load CPU" near 1 means that the load generator was the limit, not the
server; "server CPU" far below 1 in W1 to W4r, that neither was: the disk, or a machine that is busy with other things.
W5's figures start before the product's commit, and after that of its peers. W7's ratio says little where the quiet
figure is that of a server that is full already. W8's PostgreSQL is not pinned."""


def medians(lines: Iterable[Mapping[str, object]]) -> dict[Key, dict[str, float]]:
    """Key → contestant → median."""
    found: dict[Key, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in lines:
        figures = line["figures"]
        assert isinstance(figures, Mapping)
        for name, value in figures.items():
            key = (str(line["workload"]), str(line["case"]), str(name))
            found[key][str(line["peer"])].append(float(value))
    return {key: {peer: statistics.median(v) for peer, v in peers.items()} for key, peers in found.items()}


def table(lines: Sequence[Mapping[str, object]]) -> str:
    found = medians(lines)
    peers = list(dict.fromkeys(str(line["peer"]) for line in lines))
    cases = list(dict.fromkeys((str(line["workload"]), str(line["case"])) for line in lines))
    keys = [(*case, figure) for case in cases for figure in HEADLINES if (*case, figure) in found]
    rows = [["", "", "", *peers, "/naive", "/raw"]]
    before: tuple[str, str] | None = None
    for key in keys:
        values = found[key]
        if key[2] in QUIET_WHEN_ZERO and not any(values.values()):
            continue
        head = list(key[:2]) if key[:2] != before else ["", ""]
        before = key[:2]
        shown = [_shown(values.get(peer)) for peer in peers]
        rows.append([*head, key[2], *shown, _ratio(key, values, "naive"), _ratio(key, values, "raw")])
    widths = [max(len(row[n]) for row in rows) for n in range(len(rows[0]))]
    aligned = [
        "  ".join(
            cell.ljust(width) if n < 3 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in rows
    ]
    return "\n".join(line.rstrip() for line in aligned) + "\n\n" + LIMITS


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _ratio(key: Key, values: Mapping[str, float], to: str) -> str:
    if (
        key[2] in QUIET_WHEN_ZERO | {"server CPU", "load CPU", "sustained"}
        or "product" not in values
        or not values.get(to)
    ):
        return ""
    return f"{values['product'] / values[to]:.2f} ×"
