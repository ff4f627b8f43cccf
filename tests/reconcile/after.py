"""What is to hold at the end of every test that writes: there is nothing for `gql-app check` to find."""

from gql_app.changes.sequencer import move
from gql_app.db import Database
from gql_app.reconcile import reconcile


async def nothing_to_find(url: str) -> None:
    """Raises AssertionError with all findings. The database must not be in the middle of a migration."""
    db = Database(url)
    try:
        await move(db)
        findings = await db.read(reconcile)
    finally:
        await db.close()
    assert not findings, "\n".join(map(str, findings))
