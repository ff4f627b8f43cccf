"""`deliveries list` and `deliveries retry`, from outside."""

from uuid import uuid4

import pytest
from sqlalchemy import select, update

from gql_app.api.ids import encode_id
from gql_app.db import Database
from gql_app.deliveries.models import Delivery, DeliveryState
from tests.commands.conftest import Run


async def owe(run: Run, *names: str) -> None:
    """A welcome mail to each."""
    for name in names:
        command = ("user", "add", "--username", name, "--email", f"{name}@example.test")
        (await run(*command, stdin=b"correct-horse-battery\n")).succeeded()


async def put(db: Database, name: str, state: DeliveryState) -> str:
    """The id of the message to this person, which is in this state from now on."""
    where = Delivery.recipient == f"{name}@example.test"
    due: dict[str, None] = {} if state is DeliveryState.PENDING else {"due_at": None}
    values = update(Delivery).where(where).values(state=state, **due)
    await db.write(lambda s: s.execute(values) and None)
    return encode_id("Delivery", (await db.read(lambda s: s.scalars(select(Delivery).where(where)).one())).public_id)


async def states(db: Database) -> dict[str, str]:
    rows = await db.read(lambda s: s.scalars(select(Delivery)).all())
    return {row.recipient.partition("@")[0]: row.state.name for row in rows}


@pytest.mark.check_finds("unexplained", reason="begins with a state that no attempt led to")
async def test_what_is_owed_is_listed_newest_first(run: Run, db: Database) -> None:
    assert (await run("deliveries", "list")).succeeded() == ""
    await owe(run, "ada", "linus")
    ada, linus = await put(db, "ada", DeliveryState.DEAD), await put(db, "linus", DeliveryState.PENDING)
    lines = (await run("deliveries", "list")).succeeded().splitlines()
    assert [line.split()[0] for line in lines] == [linus, ada]
    assert "EMAIL" in lines[1]
    assert "DEAD" in lines[1]
    assert "ada@example.test" in lines[1]


@pytest.mark.check_finds("unexplained", reason="begins with a state that no attempt led to")
async def test_the_list_is_narrowed(run: Run, db: Database) -> None:
    await owe(run, "ada", "linus")
    ada = await put(db, "ada", DeliveryState.DEAD)
    dead = (await run("deliveries", "list", "--state", "dead")).succeeded()
    assert [line.split()[0] for line in dead.splitlines()] == [ada]
    assert (await run("deliveries", "list", "--channel", "SMS")).succeeded() == ""
    assert len((await run("deliveries", "list", "--limit", "1")).succeeded().splitlines()) == 1


@pytest.mark.check_finds("unexplained", reason="begins with a state that no attempt led to")
async def test_one_that_was_given_up_is_queued_again(run: Run, db: Database) -> None:
    await owe(run, "ada", "linus")
    ada = await put(db, "ada", DeliveryState.DEAD)
    await put(db, "linus", DeliveryState.DEAD)
    assert (await run("deliveries", "retry", ada)).succeeded() == "1 queued again.\n"
    assert await states(db) == {"ada": "PENDING", "linus": "DEAD"}


@pytest.mark.check_finds("unexplained", reason="begins with a state that no attempt led to")
async def test_all_that_were_given_up_are_queued_again(run: Run, db: Database) -> None:
    await owe(run, "ada", "linus", "grace")
    await put(db, "ada", DeliveryState.DEAD)
    await put(db, "linus", DeliveryState.DEAD)
    await put(db, "grace", DeliveryState.SENT)
    assert (await run("deliveries", "retry", "--dead")).succeeded() == "2 queued again.\n"
    assert await states(db) == {"ada": "PENDING", "linus": "PENDING", "grace": "SENT"}
    assert (await run("deliveries", "retry", "--dead")).succeeded() == "0 queued again.\n"


async def test_one_named_twice_is_queued_once(run: Run, db: Database) -> None:
    await owe(run, "ada")
    ada = await put(db, "ada", DeliveryState.DEAD)
    assert (await run("deliveries", "retry", ada, ada, "--dead")).succeeded() == "1 queued again.\n"


@pytest.mark.check_finds("unexplained", reason="begins with a state that no attempt led to")
async def test_one_that_has_arrived_is_not_sent_again(run: Run, db: Database) -> None:
    await owe(run, "ada")
    ada = await put(db, "ada", DeliveryState.SENT)
    (await run("deliveries", "retry", ada)).refused("SENT")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("retry",), "--dead"),
        (("retry", "abc"), "not an id"),
        (("retry", encode_id("User", uuid4())), "the id of something else"),
        (("retry", encode_id("Delivery", uuid4())), "no such thing"),
        (("list", "--state", "lost"), "--state"),
        (("list", "--channel", "fax"), "--channel"),
        (("list", "--limit", "0"), "--limit"),
        (("list", "--limit", "9" * 25), "--limit"),
        ((), "ACTION"),
    ],
)
async def test_what_makes_no_sense_is_refused(run: Run, arguments: tuple[str, ...], said: str) -> None:
    (await run("deliveries", *arguments)).refused(said)
