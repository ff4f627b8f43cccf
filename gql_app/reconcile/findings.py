"""What `gql-app check` can find, by stable names, and what each means."""

from collections import Counter
from dataclasses import dataclass
from uuid import UUID

MEANINGS = {
    "unrecorded": "A row, or a value in it, is not in the log.",
    "differs": "A row's value is not the last one in the log.",
    "missing row": "The log tells of an entity that was not deleted, and its row is not there.",
    "deleted and there": "The log says that an entity was deleted, and its row is there.",
    "half a row": "A row of a subclass lacks its half in one of the two tables, or its kind is not known.",
    "no beginning": "The log of an entity does not begin with its creation.",
    "created twice": "An entity, or one of its values, was created a second time.",
    "broken chain": "The old value of an entry is not the value before it: an entry is missing, repeated or changed.",
    "says nothing": "The old and the new value of an entry are the same.",
    "after the end": "The log tells of an entity after its deletion.",
    "malformed": "An entry has fields that its kind does not have.",
    "unreadable": "A value or a decision cannot be read.",
    "unknown": "An entry is about an entity type or an attribute that no version ever tracked.",
    "secret told": "The log holds a value of a secret attribute.",
    "wrong owner": "The log says that a message belongs to somebody else.",
    "positions ahead": "Positions that are in use, or pruned, would be given out again.",
    "below the floor": "Events are in the log that count as pruned.",
    "doubled state": "The log has more than one row of state.",
    "stuck in the outbox": "Entries wait for their positions for more than ten minutes.",
    "ahead of time": "The log counts as pruned or tracked up to a point that has not come yet.",
    "missing message": "A rule has owed a message, and it is not there.",
    "owed by nothing": "A message is there that no event has owed.",
    "owed twice": "A message is there more often than it is owed.",
    "stuck": "A message has not ended and is not due, or has ended and is due, or is in a state that is never stored.",
    "overdue": "A message is due for more than ten minutes, and nobody works on its channel.",
    "unexplained": "The attempts of a message do not explain its state.",
    "attempt missing": "The attempts of a message are not numbered from 1 to the number of its attempts.",
    "failures miscounted": "A message counts more failures than its attempts have.",
    "open attempt": "An attempt has no end, and no worker has it.",
    "idle lease": "A worker has a message, and there is no attempt under way.",
    "one result for two": "One message at the provider stands for two of ours.",
}


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that must not be. `what` is one of `MEANINGS`, `about` an entity's public id if there is one."""

    what: str
    about: UUID | None
    detail: str

    def __str__(self) -> str:
        return f"{self.what}: {self.about or '-'} {self.detail}"


def summary(findings: list[Finding]) -> str:
    counts = Counter(finding.what for finding in findings)
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())
