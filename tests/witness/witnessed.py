"""Which databases a test used, and what triggers and `gql-app check` say of them afterwards."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from gql_app.changes.tracking import Tracked, tracked_models
from gql_app.db import Base
from tests.reconcile.after import Checker
from tests.witness.images import read
from tests.witness.judge import judge
from tests.witness.kinds import kinds_of

SHOWN = 20
"""Sentences that are shown in full."""


def models_of_the_service() -> list[type[Tracked]]:
    """Not those that test modules make for themselves: their tables come and go."""
    return [model for model in tracked_models() if issubclass(model, Base)]


def disagreements(url: str, models: Iterable[type[Tracked]] = ()) -> list[str]:
    """What the triggers saw and the log does not say, or says otherwise; ``models`` besides those of the product.

    Not in an event loop: use a thread there.
    """
    return list(_disagreements(url, models) or ())


def _disagreements(url: str, models: Iterable[type[Tracked]]) -> list[str] | None:
    """None where nothing was written."""
    testimony = read(url)
    if not testimony.images and not testimony.kept:
        return None
    return judge(testimony, kinds_of([*models_of_the_service(), *models]))


@dataclass
class Witnessed:
    """The databases that a test has used; `models` are those that its module made for itself."""

    checker: Checker
    urls: list[str] = field(default_factory=list)
    models: list[type[Tracked]] = field(default_factory=list)

    def sentences(self, may_be_found: Collection[str] = ()) -> Sequence[str]:
        """What is wrong. ``may_be_found``: the findings of `gql-app check` that the test provokes."""
        found = [sentence for url in dict.fromkeys(self.urls) for sentence in self._wrong(url, may_be_found)]
        return found[:SHOWN] + ([f"and {len(found) - SHOWN} more"] if len(found) > SHOWN else [])

    def _wrong(self, url: str, may_be_found: Collection[str]) -> Iterator[str]:
        sentences = _disagreements(url, self.models)
        if sentences is None:
            return
        yield from sentences
        for finding in self.checker.findings(url):
            if finding.what not in may_be_found:
                yield f"gql-app check: {finding}"
