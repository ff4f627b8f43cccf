"""What became of it: the messages that are owed, and what does not fit together."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from gql_app.app import App
from gql_app.changes.sequencer import move
from gql_app.deliveries.models import Delivery
from gql_app.outside import switch
from gql_app.outside.intake import taken_in
from gql_app.reconcile import reconcile


@dataclass(frozen=True, slots=True)
class Message:
    """A message that is owed or was sent, as it is sent. `state` is that of `DeliveryState`."""

    channel: str
    recipient: str
    subject: str | None
    body: str
    html: str | None
    state: str


async def messages(app: App) -> Sequence[Message]:
    """All messages, the oldest first."""

    def look(session: Session) -> Sequence[Message]:
        return [_message(app, row) for row in session.scalars(select(Delivery).order_by(Delivery.id))]

    return await app.db.read(look)


def _message(app: App, row: Delivery) -> Message:
    said = app.application.texts.shown(row)
    return Message(row.channel.name, row.recipient, said.subject, said.body, said.html, row.shown_state.name)


async def findings(app: App) -> Sequence[str]:
    """What `gql-app check` finds: rows, log and messages that do not fit together. There should be nothing."""
    await move(app.db)
    found = await app.db.read(reconcile, app.application.models, app.application.channels)
    return [str(each) for each in found]


class Witness:
    """Hears of every row of a tracked table that is written past the log (see `witness`)."""

    def __init__(self, app: App) -> None:
        self._app = app
        self._before = taken_in._value.get()

    async def unrecorded(self) -> int:
        """How many rows were; this application must be the only one of the process that takes them in."""
        await switch.drain(self._app.db, self._app.application.models)
        return int(taken_in._value.get() - self._before)


async def witness(app: App) -> Witness:
    """Have triggers note what is written past the log, as `gql-app capture install` does.

    A vertical whose rows are then `unrecorded` goes past the log: with a function of the database, or a connection of
    its own.
    """
    await switch.install(app.db, app.application.models, pause=0)
    return Witness(app)
