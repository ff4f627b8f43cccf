"""Each form in which a row can be written is recorded or refused, as `docs/capture.md` says."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import JSON, String, bindparam, column, delete, event, func, insert, lambda_stmt, select, text, update
from sqlalchemy.orm import Session, aliased, make_transient, with_loader_criteria
from sqlalchemy.orm.attributes import flag_modified

from gql_app.accounts.models import PremiumUser, User
from gql_app.changes.sequencer import move
from gql_app.changes.tracking import Tracked
from gql_app.db import Database, WriteSession
from gql_app.demo.fuel_requests.models import FuelRequest
from tests.changes.forms import FORMS, Base, Berth, Ferry, Form, Impostor, document
from tests.things import HASH, add_request, add_user, head_of, logged, new_premium_user, rows_of
from tests.witness import triggers
from tests.witness.witnessed import Witnessed

NAMES: dict[str, Any] = {
    "F": FuelRequest, "T": FuelRequest.__table__, "U": User, "Premium": PremiumUser, "Ferry": Ferry, "Berth": Berth,
    "Impostor": Impostor, "HASH": HASH, "UTC": UTC, "EAST": timezone(timedelta(hours=5, minutes=30)),
    "datetime": datetime, "Decimal": Decimal, "uuid4": uuid4, "select": select, "update": update, "delete": delete,
    "insert": insert, "text": text, "func": func, "bindparam": bindparam, "flag_modified": flag_modified,
    "JSON": JSON, "Session": Session, "WriteSession": WriteSession, "column": column, "String": String,
    "aliased": aliased, "lambda_stmt": lambda_stmt, "with_loader_criteria": with_loader_criteria,
    "make_transient": make_transient,
}  # fmt: skip
MODELS: list[type[Tracked]] = [Berth, Ferry]
ALL = [form for forms in FORMS.values() for form in forms]


@pytest.fixture
async def filled(db: Database, witnessed: Witnessed) -> AsyncIterator[Database]:
    witnessed.models += MODELS
    async with db.writing() as connection:
        await connection.run_sync(Base.metadata.create_all)
        await connection.run_sync(triggers.install, MODELS)
    ada = await add_user(db)
    await db.write(lambda session: session.add(new_premium_user("linus")))
    await add_request(db, ada, note="a")
    await add_request(db, ada, note="b")

    def moor(session: Session) -> None:
        first = Berth(code="A", spec={"k": 1}, price=Decimal("1.5"), boats=[Ferry(name="Ada")])
        session.add_all([first, Berth(code="B")])

    await db.write(moor)
    yield db
    await move(db)
    async with db.writing() as connection:
        await connection.run_sync(Base.metadata.drop_all)


def run(session: Session, form: Form) -> None:
    found: dict[str, Any] = {
        "r": session.scalars(select(FuelRequest).where(FuelRequest.note == "a")).one(),
        "ada": session.scalars(select(User).where(User.username == "ada")).one(),
        "linus": session.scalars(select(User).where(User.username == "linus")).one(),
        "b": session.get_one(Berth, "A"),
        "c": session.get_one(Berth, "B"),
        "f": session.get_one(Ferry, "Ada"),
    }
    listeners: list[tuple[str, Any]] = []

    def listen(name: str, function: Any) -> None:
        listeners.append((name, function))
        event.listen(FuelRequest, name, function)

    try:
        exec(form.code, {**NAMES, **found, "session": session, "listen": listen, "event": event})
        if listeners:
            session.flush()
    finally:
        for name, function in listeners:
            event.remove(FuelRequest, name, function)


async def what_is_said(db: Database, start: int) -> str:
    events = [e for e in await logged(db, after=start) if e.entity_type != "Delivery"]
    return "; ".join(
        e.kind.name + (f" {e.attribute}: {e.old_value or '–'} → {e.new_value or '–'}" if e.attribute else "")
        for e in events
    )


def marked(form: Form) -> Any:
    reasons = {
        "b.price": "SQLite keeps more digits of a numeric than it gives back",
        "'k': True": "Python, by which the triggers' images are judged, takes 1 and true for equal",
    }
    marks = [pytest.mark.unwitnessed(reason) for part, reason in reasons.items() if part in form.code]
    return pytest.param(form, id=form.name, marks=marks)


@pytest.mark.parametrize("form", [marked(form) for form in ALL])
async def test_a_form_is_recorded_or_refused(filled: Database, form: Form, backend: str) -> None:
    start, expected = await head_of(filled), form.on(backend)
    rows = [[row.note for row in await rows_of(filled, FuelRequest)], len(await rows_of(filled, User))]
    if not expected.startswith("!"):
        await filled.write(run, form)
        assert await what_is_said(filled, start) == expected
        return
    with pytest.raises((TypeError, RuntimeError)) as caught:
        await filled.write(run, form)
    assert expected[1:] in str(caught.value)
    assert await what_is_said(filled, start) == ""
    assert [[row.note for row in await rows_of(filled, FuelRequest)], len(await rows_of(filled, User))] == rows


def test_the_list_is_the_one_in_the_documents() -> None:
    kept = (Path(__file__).parents[2] / "docs" / "capture.md").read_text(encoding="utf-8")
    assert kept == document(), "run: python -m tests.changes.forms > docs/capture.md"
