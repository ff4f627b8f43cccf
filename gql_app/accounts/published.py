"""Nobody may be served in production whose password is published: that of the demo's people."""

import bcrypt
from sqlalchemy import select
from sqlalchemy.orm import Session

from gql_app.accounts.models import User
from gql_app.errors import ConfigurationError
from gql_app.vertical import Process

PASSWORD = "correct-horse-battery"  # noqa: S105  (published on purpose)
DOMAIN = "@example.test"
"""Of the demo's addresses. Nobody can have one (RFC 2606), so nobody else is looked at."""
MOST = 50
"""Users that are looked at, the oldest first: a third of a second each."""


async def refuse_demo_people(process: Process) -> None:
    """Raises ConfigurationError."""
    found = await process.db.read(_of_the_demo)
    if named := [name for name, hashed in found if bcrypt.checkpw(PASSWORD.encode(), hashed.encode())]:
        raise ConfigurationError(
            f"Refusing to start in production:\n  - the demo's people are in this database ({', '.join(named)}), and "
            "their password is published: use another database, or delete them"
        )


def _of_the_demo(session: Session) -> list[tuple[str, str]]:
    query = select(User.username, User.password_hash).where(User.email.endswith(DOMAIN)).order_by(User.id).limit(MOST)
    return [(row[0], row[1]) for row in session.execute(query)]
