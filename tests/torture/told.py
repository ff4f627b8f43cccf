"""What clients were told has happened."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field

from tests.crash.town import Acknowledged


@dataclass
class Told(Acknowledged):
    """``statuses`` are those of each project in the order in which they were set.

    ``answers`` counts all answers by kind; ``wrong`` are those that no disturbance explains.
    """

    projects: set[str] = field(default_factory=set)
    statuses: defaultdict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    comments: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    @property
    def acknowledged(self) -> int:
        """How many mutations were acknowledged."""
        statuses = sum(map(len, self.statuses.values()))
        return len(self.submitted) + len(self.decided) + len(self.projects) + statuses + len(self.comments)

    def decide(self, request: str, status: str) -> None:
        """A decision was acknowledged: there can be one only."""
        if request in self.decided:
            self.wrong.append(f"{request} was decided twice: {self.decided[request]} and {status}")
        self.decided[request] = status
