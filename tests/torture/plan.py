"""What a run is like. The same plan makes the same random choices (what they meet is up to the machine)."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Plan:
    """``calm``: now and then nothing is disturbed, so that quiet times can be measured.

    ``checks``: how often `gql-app check` looks while everybody is busy; the time that it takes is added.
    """

    seconds: float = 600.0
    seed: int = 1
    servers: int = 3
    workers: int = 2
    writers: int = 5
    askers: int = 30
    calm: bool = True
    checks: int = 3

    def rng(self, who: str) -> random.Random:
        """Somebody's own random numbers: what others draw does not change them."""
        return random.Random(f"{self.seed}/{who}")
