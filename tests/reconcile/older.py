"""What a database of an older version holds, as plain SQL: nothing of today's code has written it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from uuid import UUID

from tests.reconcile.filled import stamp

REVISIONS = tuple(f"{number:04}" for number in range(1, 10))

ADA, LINUS, MARY = 1, 2, 3
"""The users' ids: the tables number their rows from 1 on."""
PHONES = {ADA: "+15005550100", LINUS: "+15005550101", MARY: None}

DECIDED, BEGUN = UUID(int=0xD1), UUID(int=0xD2)
"""The change sets in which rules owed something to ada."""


@dataclass(frozen=True, slots=True)
class Told:
    """An entry of the log."""

    change_set: UUID
    kind: str
    entity_type: str
    entity_id: UUID
    owner_id: int
    attribute: str | None = None
    old_value: str | None = None
    new_value: str | None = None
    decisions: str | None = None


@dataclass
class Older:
    """The statements for one revision, on one kind of database."""

    revision: str
    is_sqlite: bool
    _sql: list[str] = field(default_factory=list)
    _log: list[Told] = field(default_factory=list)

    def statements(self) -> list[str]:
        """Users, requests, a session; messages sent, in the air, given up, unclear, pruned; projects where they are."""
        self._people()
        self._requests()
        self._messages()
        if self.revision >= "0002":
            self._projects()
        return [*self._sql, *self._entries()]

    def _row(self, table: str, **values: object) -> None:
        stamps = {"created_at": stamp(), "updated_at": stamp(), "version": 1}
        self._add(table, values if table in ("premium_users", "delivery_attempts") else values | stamps)

    def _add(self, table: str, values: dict[str, object]) -> None:
        self._sql.append(
            f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(map(self._literal, values.values()))})"
        )

    def _literal(self, value: object) -> str:
        if value is None:
            return "NULL"
        if isinstance(value, bytes):
            return f"X'{value.hex()}'" if self.is_sqlite else f"'\\x{value.hex()}'"
        return str(value) if isinstance(value, int) else f"'{value.hex if isinstance(value, UUID) else value}'"

    def _created(
        self, change_set: UUID, entity_type: str, entity_id: UUID, owner_id: int, **values: str | None
    ) -> None:
        for name, value in values.items():
            self._log.append(Told(change_set, "CREATED", entity_type, entity_id, owner_id, name, None, value))

    def _changed(self, entity_type: str, entity_id: UUID, attribute: str, old: str, new: str) -> None:
        change_set = UUID(int=0xE000 + len(self._log))
        self._log.append(Told(change_set, "UPDATED", entity_type, entity_id, ADA, attribute, old, new))

    def _people(self) -> None:
        for user_id, name in ((ADA, "ada"), (LINUS, "linus"), (MARY, "mary")):
            public_id, phone = UUID(int=user_id), PHONES[user_id]
            told = {"username": name, "email": f"{name}@example.test", "phone_number": phone, "role": "USER"}
            plan = "PREMIUM" if user_id == LINUS else "STANDARD"
            self._row("users", public_id=public_id, plan=plan, password_hash="$2b$04$" + "a" * 53, **told)
            known = {attribute: value for attribute, value in told.items() if value is not None}
            self._created(UUID(int=0xA0 + user_id), "User", public_id, user_id, **known, password_hash=None)
        self._row("premium_users", id=LINUS, premium_since=stamp())
        revoked, session = stamp(), UUID(int=0x10)
        self._row(
            "sessions",
            public_id=session,
            user_id=ADA,
            token_hash=b"t" * 32,
            expires_at=stamp(timedelta(days=1)),
            revoked_at=revoked,
        )
        self._log.append(Told(UUID(int=0xB0), "CREATED", "Session", session, ADA))
        value = revoked.replace(" ", "T") + "+00:00"
        self._log.append(Told(UUID(int=0xB1), "UPDATED", "Session", session, ADA, "revoked_at", None, value))

    def _requests(self) -> None:
        for number, (status, note) in enumerate((("APPROVED", "decided"), ("PENDING", "open"))):
            public_id = UUID(int=0x20 + number)
            self._row("fuel_requests", public_id=public_id, requester_id=ADA, status=status, litres=1050, note=note)
            told = {"status": "PENDING", "litres": "10.50", "note": note}
            self._created(UUID(int=0xC0 + number), "FuelRequest", public_id, ADA, **told)
        self._decide(DECIDED, "FuelRequest", UUID(int=0x20), "APPROVED", "fuel_requests.rules.tell_requester")

    def _decide(self, change_set: UUID, entity_type: str, entity_id: UUID, status: str, rule: str) -> None:
        decisions = f'{{"{rule}":{{"owed":{{"EMAIL":1,"SMS":1}}}}}}'
        before = "PENDING" if status == "APPROVED" else "PLANNED"
        self._log.append(Told(change_set, "UPDATED", entity_type, entity_id, ADA, "status", before, status, decisions))

    def _messages(self) -> None:
        rule, cause = "fuel_requests.rules.tell_requester", UUID(int=0x20)
        self._message(1, "SMS", "SENT", "SENT", rule, DECIDED, cause)
        self._message(2, "EMAIL", "SENDING", None, rule, DECIDED, cause)
        for number, (user_id, state, outcome) in enumerate(
            ((ADA, "DEAD", "PERMANENT"), (LINUS, "UNKNOWN", "UNKNOWN"), (MARY, "PENDING", "TRANSIENT")), 3
        ):
            rule = "accounts.rules.welcome"
            self._message(number, "EMAIL", state, outcome, rule, UUID(int=0xA0 + user_id), UUID(int=user_id))
        pruned = UUID(int=0x3F)
        self._created(UUID(int=0xF0), "Delivery", pruned, ADA, state="PENDING")
        self._changed("Delivery", pruned, "state", "PENDING", "SENT")
        if self.revision >= "0007":
            self._add("change_log_state", {"id": 1, "pruned_through": 0, "deliveries_pruned_before": stamp()})

    def _message(
        self, number: int, channel: str, state: str, outcome: str | None, rule: str, change_set: UUID, cause: UUID
    ) -> None:
        """Number and id are the same, and one attempt was made."""
        is_leased, public_id = state == "SENDING", UUID(int=0x30 + number)
        stored = "PENDING" if is_leased and self.revision >= "0004" else state  # later versions only show SENDING
        recipient_id = change_set.int - 0xA0 if rule == "accounts.rules.welcome" else ADA
        recipient = PHONES[recipient_id] if channel == "SMS" else f"user{recipient_id}@example.test"
        provider_id = f"SM{number}" if outcome == "SENT" else None
        values = {
            "public_id": public_id,
            "channel": channel,
            "state": stored,
            "recipient_id": recipient_id,
            "recipient": recipient,
            "body": "Hello",
            "rule": rule,
            "change_set": change_set,
            "due_at": stamp(timedelta(minutes=1)) if state in ("PENDING", "SENDING", "UNKNOWN") else None,
            "lease": UUID(int=0x40) if is_leased else None,
            "attempt_count": 1,
            "failure_count": int(outcome not in (None, "SENT")),
            "provider_id": provider_id,
        }
        self._row("deliveries", **values, **({"cause_id": cause} if self.revision >= "0004" else {}))
        self._row(
            "delivery_attempts",
            public_id=UUID(int=0x50 + number),
            delivery_id=number,
            number=1,
            started_at=stamp(),
            finished_at=None if outcome is None else stamp(),
            outcome=outcome,
            provider_id=provider_id,
        )
        self._created(change_set, "Delivery", public_id, recipient_id, state="PENDING")
        if state not in ("PENDING", "SENDING"):
            change = UUID(int=0x60 + number)
            told = Told(change, "UPDATED", "Delivery", public_id, recipient_id, "state", "PENDING", state)
            self._log.append(told)

    def _projects(self) -> None:
        project, kept, deleted = UUID(int=0x70), UUID(int=0x71), UUID(int=0x72)
        rule = "projects.rules.tell_owner"
        self._row("projects", public_id=project, owner_id=ADA, name="Bridge", status="ACTIVE")
        self._created(UUID(int=0x80), "Project", project, ADA, name="Bridge", status="PLANNED")
        ids: dict[str, object] = {"project_id": 1, "project_owner_id": ADA, "author_id": ADA, "project": project}
        self._row("comments", public_id=kept, body="kept", **ids)
        for comment in (kept, deleted):
            self._created(UUID(int=0x81), "Comment", comment, ADA, project=str(project))
        self._log.append(Told(UUID(int=0x82), "DELETED", "Comment", deleted, ADA))
        self._decide(BEGUN, "Project", project, "ACTIVE", rule)
        for number, channel in ((6, "SMS"), (7, "EMAIL")):
            self._message(number, channel, "PENDING", "TRANSIENT", rule, BEGUN, project)

    def _entries(self) -> Iterator[str]:
        """On PostgreSQL, from 0003 on, the second half still waits for its positions."""
        waits = not self.is_sqlite and self.revision >= "0003"
        for number, told in enumerate(self._log):
            table = "change_outbox" if waits and number >= len(self._log) / 2 else "change_events"
            values = {name: getattr(told, name) for name in Told.__dataclass_fields__}
            if self.revision < "0007" or told.decisions is None:
                del values["decisions"]
            values["occurred_at"] = stamp()
            yield (
                f"INSERT INTO {table} ({', '.join(values)}) VALUES ({', '.join(map(self._literal, values.values()))})"
            )
