"""A database in which a bit of everything has happened, by the service's own ways."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from sqlalchemy import select, text
from sqlalchemy.orm import Session

import gql_app.demo.verticals  # noqa: F401  (registers the rules)
from gql_app.accounts.models import AuthSession, User
from gql_app.changes.sequencer import move
from gql_app.db import ANNOUNCED, Database
from gql_app.deliveries import queue
from gql_app.deliveries.claims import Claim, Result
from gql_app.deliveries.models import AttemptOutcome, Channel
from gql_app.deliveries.retry import after_attempt
from gql_app.demo.fuel_requests.models import FuelRequest, FuelRequestStatus
from gql_app.demo.projects.models import Comment, Project, ProjectStatus
from tests.things import add_request, add_user, new_premium_user

ADA, LINUS = "+15005550100", "+15005550101"
"""Their numbers."""


async def fill(db: Database) -> None:
    """Users of both plans, requests, a project with comments, a session; messages sent, dead, unclear, in the air."""
    ada = await add_user(db)
    linus = await db.write(_add_premium)
    for person, note in ((ada, "decided"), (ada, "open"), (linus, "rejected")):
        await add_request(db, person, note=note)
    await db.write(_decide, "decided", FuelRequestStatus.APPROVED)
    await db.write(_decide, "rejected", FuelRequestStatus.REJECTED)
    await db.write(_begin_project, ada)
    for status in (ProjectStatus.ACTIVE, ProjectStatus.DONE):
        await db.write(_set_status, status)
    await db.write(_delete_comment)
    await db.write(_sign_in_and_out, ada)
    await send_all(db, Channel.EMAIL)
    await attempt(db, ADA, AttemptOutcome.TRANSIENT)
    await attempt(db, ADA, AttemptOutcome.SENT)
    await attempt(db, ADA, AttemptOutcome.PERMANENT)
    await attempt(db, LINUS, AttemptOutcome.UNKNOWN)
    await attempt(db, ADA, None)  # is in the air
    await move(db)


def _add_premium(session: Session) -> User:
    linus = new_premium_user("linus", phone_number=LINUS)
    session.add(linus)
    return linus


def _decide(session: Session, note: str, status: FuelRequestStatus) -> None:
    session.scalars(select(FuelRequest).where(FuelRequest.note == note)).one().status = status


def _begin_project(session: Session, owner: User) -> None:
    project = Project(owner_id=owner.id, name="Bridge")
    session.add(project)
    session.flush()
    for body in ("kept", "taken back"):
        values = {"project_id": project.id, "project_owner_id": owner.id, "project": project.public_id}
        session.add(Comment(author_id=owner.id, body=body, **values))


def _set_status(session: Session, status: ProjectStatus) -> None:
    session.scalars(select(Project)).one().status = status


def _delete_comment(session: Session) -> None:
    session.delete(session.scalars(select(Comment).where(Comment.body == "taken back")).one())


def _sign_in_and_out(session: Session, user: User) -> None:
    now = datetime.now(UTC)
    found = AuthSession(user_id=user.id, token_hash=uuid4().bytes * 2, expires_at=now + timedelta(days=1))
    session.add(found)
    session.flush()
    found.revoked_at = now


async def send_all(db: Database, channel: Channel) -> None:
    """Send all that is due on this channel."""
    while claims := await db.write(queue.claim, channel, datetime.now(UTC), 100):
        await db.write(queue.finish, [_result(claim, AttemptOutcome.SENT) for claim in claims])


async def attempt(db: Database, number: str, outcome: AttemptOutcome | None) -> None:
    """Make an attempt with the oldest SMS to this number, pause or not; None: it is still in the air."""
    await run(db, f"UPDATE deliveries SET due_at = '{stamp(timedelta(seconds=-1))}' WHERE due_at IS NOT NULL")
    await run(
        db,
        f"UPDATE deliveries SET due_at = '{stamp(timedelta(hours=1))}' WHERE due_at IS NOT NULL"
        f" AND recipient <> '{number}'",
    )
    claims = await db.write(queue.claim, Channel.SMS, datetime.now(UTC), 1)
    assert [claim.message.recipient for claim in claims] == [number]
    if outcome is not None:
        await db.write(queue.finish, [_result(claim, outcome) for claim in claims])


def _result(claim: Claim, outcome: AttemptOutcome) -> Result:
    now = datetime.now(UTC)
    then = after_attempt(outcome, claim.failures + 1, now, resend_is_safe=False)
    sid = f"<{claim.message.id}>" if outcome is AttemptOutcome.SENT else None
    return Result(claim, outcome, then, now, sid)


def stamp(later: timedelta = timedelta()) -> str:
    """A moment as SQL takes it on both databases."""
    return f"{datetime.now(UTC) + later:%Y-%m-%d %H:%M:%S.%f}"


async def run(db: Database, *statements: str) -> None:
    """Execute SQL past the service: nothing is recorded."""

    def execute(session: Session) -> None:
        for statement in statements:
            session.connection().execute(text(statement), execution_options=ANNOUNCED)

    await db.write(execute)
