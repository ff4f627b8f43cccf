"""`user add`, from outside."""

import pytest
from sqlalchemy import select

from gql_app.accounts.models import PremiumUser, User
from gql_app.accounts.passwords import Passwords
from gql_app.accounts.roles import Role
from gql_app.db import Database
from tests.commands.conftest import Outcome, Run

PASSWORD = "seven-green-bottles"


async def add(run: Run, *more: str, name: str = "ada", email: str = "", password: str = PASSWORD) -> Outcome:
    """The outcome; the password must never be in it."""
    command = ("user", "add", "--username", name, "--email", email or f"{name}@example.test", *more)
    outcome = await run(*command, stdin=f"{password}\n".encode(errors="surrogateescape"))
    assert not password or password not in outcome.out + outcome.err
    return outcome


async def person(db: Database, name: str) -> User:
    return await db.read(lambda s: s.scalars(select(User).where(User.username == name)).one())


async def test_somebody_is_added_with_the_password_from_standard_input(run: Run, db: Database) -> None:
    assert (await add(run, "--role", "admin", "--phone", "+1 500 555 0100")).succeeded() == "Added ada (admin).\n"
    ada = await person(db, "ada")
    assert (ada.role, ada.email, ada.phone_number) == (Role.ADMIN, "ada@example.test", "+15005550100")
    passwords = Passwords(4)
    assert await passwords.matches(PASSWORD, ada.password_hash)
    passwords.close()


async def test_a_premium_user_is_added(run: Run, db: Database) -> None:
    (await add(run, "--premium")).succeeded()
    assert isinstance(await person(db, "ada"), PremiumUser)


async def test_the_line_end_of_another_system_is_no_part_of_the_password(run: Run, db: Database) -> None:
    (await add(run, password=PASSWORD + "\r")).succeeded()
    passwords = Passwords(4)
    assert await passwords.matches(PASSWORD, (await person(db, "ada")).password_hash)
    passwords.close()


@pytest.mark.parametrize(
    ("password", "said"),
    [
        ("short", "at least 8 characters"),
        ("password1", "anybody would guess"),
        ("ada@example.test", "anybody would guess"),
        ("x" * 73, "longer than 72 bytes"),
        ("seven-green-\udcff\udcfe", "characters that cannot be used"),
        ("", "at least 8 characters"),
    ],
)
async def test_a_bad_password_is_refused_with_its_reason(run: Run, db: Database, password: str, said: str) -> None:
    (await add(run, password=password)).refused(said)
    assert await db.read(lambda s: s.scalars(select(User)).all()) == []


async def test_no_password_at_all_is_refused(run: Run) -> None:
    (await run("user", "add", "--username", "ada", "--email", "ada@example.test")).refused("at least 8 characters")


async def test_a_taken_name_or_address_is_refused(run: Run) -> None:
    (await add(run)).succeeded()
    (await add(run, name="ADA", email="other@example.test")).refused("username is taken")
    (await add(run, name="other", email="Ada@Example.test")).refused("e-mail address already")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (("--email", "nobody"), "not an e-mail address"),
        (("--username", "a b"), "letters, digits"),
        (("--phone", "0123"), "country code"),
        (("--role", "queen"), "--role"),
    ],
)
async def test_other_bad_values_are_refused_with_their_reason(run: Run, more: tuple[str, ...], said: str) -> None:
    (await add(run, *more)).refused(said)
