"""Draws the fan-out (W4: deliveries per second against subscribers) of a run into docs/images/fanout.svg.

`python -m benchmarks.plot [FILE.jsonl]`; without a file, the latest results that have a W4.
"""

import json
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.results import medians

RESULTS = Path(__file__).parent / "results"
PICTURE = Path(__file__).parent.parent / "docs" / "images" / "fanout.svg"
WIDTH, HEIGHT = 720, 420
LEFT, RIGHT, TOP, BOTTOM = 70, 130, 50, 50
"""Margins; the names of the lines stand in the right one."""
COLOURS = {"product": "#0b6e4f", "naive": "#c1440e", "raw": "#555555"}
OTHERS = ("#3d5a98", "#8a5a9e", "#a07c00", "#2f8f9d")
LINE_HEIGHT = 15

Points = list[tuple[int, float]]
"""Subscribers and deliveries per second."""


def lines_of(path: Path) -> list[Mapping[str, object]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def series(lines: Sequence[Mapping[str, object]]) -> dict[str, Points]:
    """Contestant → its points, in the order of subscribers."""
    found: dict[str, Points] = {}
    for (workload, case, figure), values in medians(lines).items():
        if (workload, figure) == ("W4", "deliveries/s"):
            for peer, value in values.items():
                found.setdefault(peer, []).append((int(case.split()[0]), value))
    return {peer: sorted(points) for peer, points in found.items()}


class Axis:
    """A logarithmic scale between two ends in pixels, with room for the nearest rounder values outside."""

    def __init__(self, values: Sequence[float], begin: float, end: float, *, by_decade: bool) -> None:
        low, high = math.log10(min(values)), math.log10(max(values))
        self._low: float = math.floor(low) if by_decade else low
        self._high: float = math.ceil(high) if by_decade else max(high, low + 0.1)
        self._begin, self._end = begin, end
        self.decades = [10**n for n in range(math.ceil(self._low), math.floor(self._high) + 1)]

    def __call__(self, value: float) -> float:
        share = (math.log10(value) - self._low) / max(self._high - self._low, 1e-9)
        return self._begin + share * (self._end - self._begin)


def picture(found: Mapping[str, Points]) -> str:
    counts = sorted({n for points in found.values() for n, _ in points})
    rates = [rate for points in found.values() for _, rate in points if rate > 0]
    x = Axis(counts, LEFT + 10, WIDTH - RIGHT - 10, by_decade=False)
    y = Axis(rates, HEIGHT - BOTTOM, TOP, by_decade=True)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        '  font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{LEFT}" y="24" font-size="15">Fan-out: deliveries per second, one stream, saturated</text>',
        f'<text x="{(LEFT + WIDTH - RIGHT) / 2:.0f}" y="{HEIGHT - 12}" text-anchor="middle">subscribers</text>',
    ]
    for value in y.decades:
        parts += [
            f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" y2="{y(value):.1f}" stroke="#dddddd"/>',
            f'<text x="{LEFT - 8}" y="{y(value) + 4:.1f}" text-anchor="end">{value:,}</text>',
        ]
    parts += [f'<text x="{x(n):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{n:,}</text>' for n in counts]
    ends = sorted((y(points[-1][1]), peer) for peer, points in found.items())
    label_at = TOP - float(LINE_HEIGHT)
    for end, peer in ends:
        label_at = max(end, label_at + LINE_HEIGHT)  # names of lines that end close together do not overlap
        parts += _line(peer, found[peer], x, y, label_at)
    return "\n".join([*parts, "</svg>"]) + "\n"


def _line(peer: str, points: Points, x: Axis, y: Axis, label_at: float) -> list[str]:
    colour = COLOURS.get(peer) or OTHERS[sum(map(ord, peer)) % len(OTHERS)]
    width = 3 if peer == "product" else 1.5
    corners = " ".join(f"{x(n):.1f},{y(rate):.1f}" for n, rate in points if rate > 0)
    dots = [f'<circle cx="{x(n):.1f}" cy="{y(rate):.1f}" r="3.5" fill="{colour}"/>' for n, rate in points if rate > 0]
    label = f"{peer} {points[-1][1]:,.0f}"
    return [
        f'<polyline points="{corners}" fill="none" stroke="{colour}" stroke-width="{width}"/>',
        *dots,
        f'<text x="{WIDTH - RIGHT + 8}" y="{label_at + 4:.1f}" fill="{colour}">{label}</text>',
    ]


def latest() -> Path:
    """Raises SystemExit: nothing has been measured."""
    for path in sorted(RESULTS.glob("*.jsonl"), reverse=True):
        if series(lines_of(path)):
            return path
    raise SystemExit("There are no results with a W4: run `make bench` first.")


def main() -> None:
    source = Path(sys.argv[1]) if len(sys.argv) > 1 else latest()
    PICTURE.write_text(picture(series(lines_of(source))), encoding="utf-8")
    print(f"{PICTURE} shows {source.name}")


if __name__ == "__main__":
    main()
