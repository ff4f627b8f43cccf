"""How a filled database (see `filled`) is damaged past the service: pieces of SQL."""

from dataclasses import dataclass
from datetime import timedelta

from tests.reconcile.filled import ADA, LINUS, stamp

LONG_AGO, LATER = stamp(timedelta(hours=-2)), stamp(timedelta(days=1))
NOW = stamp()
NEW = "00000000000000000000000000000001"
"""An id that nothing has."""

COPIED = "change_set, kind, entity_type, entity_id, attribute, old_value, new_value, owner_id, actor_id, occurred_at"
MESSAGE = (
    "version, channel, state, recipient_id, recipient, subject, body, template, template_values, rule, change_set,"
    " cause_id, due_at, attempt_count, failure_count, created_at, updated_at"
)


@dataclass(frozen=True, slots=True)
class Damage:
    """`statements` do it, on PostgreSQL others if they are given."""

    room: str
    title: str
    found_as: str
    statements: tuple[str, ...]
    on_postgres: tuple[str, ...] = ()

    def sql(self, backend: str) -> tuple[str, ...]:
        return self.on_postgres if backend == "postgres" and self.on_postgres else self.statements


def request(note: str) -> str:
    return f"(SELECT public_id FROM fuel_requests WHERE note = '{note}')"


def event(entity: str, attribute: str, kind: str = "UPDATED", which: str = "max") -> str:
    """The condition for one event about this entity."""
    return (
        f"position = (SELECT {which}(position) FROM change_events WHERE entity_id = {entity} AND kind = '{kind}'"
        f" AND attribute = '{attribute}')"
    )


def copied(where: str, into: str = "change_events", **changed: str) -> str:
    """Another event like this one, but for some columns."""
    values = ", ".join(changed.get(name, name) for name in COPIED.split(", "))
    return f"INSERT INTO {into} ({COPIED}) SELECT {values} FROM change_events WHERE {where}"


def another_message(where: str, **changed: str) -> str:
    values = ", ".join(changed.get(name, name) for name in MESSAGE.split(", "))
    return f"INSERT INTO deliveries (public_id, {MESSAGE}) SELECT '{NEW}', {values} FROM deliveries WHERE {where}"


def set_event(assignment: str, where: str) -> str:
    return f"UPDATE change_events SET {assignment} WHERE {where}"


DECIDED, OPEN = request("decided"), request("open")
PROJECT = "(SELECT public_id FROM projects)"
USER = "(SELECT public_id FROM users WHERE username = 'ada')"
DECISION, LITRES = event(DECIDED, "status"), event(DECIDED, "litres", "CREATED")
FIRST_STATUS, LAST_STATUS = event(PROJECT, "status", which="min"), event(PROJECT, "status")
GONE = "entity_type = 'Comment' AND kind = 'DELETED'"

RULE = "rule = 'demo.fuel_requests.rules.tell_requester'"
SMS_DECIDED = f"channel = 'SMS' AND cause_id = {DECIDED}"
FAILING = f"channel = 'SMS' AND recipient = '{ADA}' AND state = 'DEAD'"
SENT_SMS = "channel = 'SMS' AND state = 'SENT'"
UNCLEAR = f"channel = 'SMS' AND recipient = '{LINUS}'"
IN_THE_AIR = "lease IS NOT NULL"
WELCOME = "rule = 'accounts.rules.welcome'"


def ids(where: str) -> str:
    return f"(SELECT id FROM deliveries WHERE {where})"


def set_message(assignment: str, where: str) -> str:
    return f"UPDATE deliveries SET {assignment} WHERE {where}"


def set_attempt(assignment: str, where: str, number: int | None = None) -> str:
    only = "" if number is None else f" AND number = {number}"
    return f"UPDATE delivery_attempts SET {assignment} WHERE delivery_id IN {ids(where)}{only}"


def forget(where: str) -> tuple[str, ...]:
    """A message, its attempts and all that the log says of it are gone."""
    return (
        f"DELETE FROM change_events WHERE entity_id IN (SELECT public_id FROM deliveries WHERE {where})",
        f"DELETE FROM deliveries WHERE {where}",
    )
