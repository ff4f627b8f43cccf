"""Accounts from outside: sign up, log in, log out, and what ends with a session."""

import asyncio
import statistics
import time
import unicodedata
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from sqlalchemy import event, select
from sqlalchemy.orm import Session
from zxcvbn import zxcvbn

from gql_app.accounts import passwords as passwords_module
from gql_app.accounts import service
from gql_app.accounts.models import AuthSession, User
from gql_app.accounts.passwords import Passwords
from gql_app.accounts.throttle import PER_CLIENT
from gql_app.db import Database
from gql_app.errors import Invalid, RateLimited
from gql_app.testing.client import Client
from gql_app.testing.server import Running
from tests.people import LOG_IN, PASSWORD, People, log_in
from tests.things import HASH, add_user, rows_of

SIGN_UP = """
    mutation ($input: SignUpInput!) {
      signUp(input: $input) {
        user { __typename id username email phoneNumber role ... on PremiumUser { premiumSince } }
        session { token expiresAt } errors { code field message }
      }
    }"""
VIEWER = "{ viewer { username email role } }"
CHANGE_PASSWORD = """
    mutation ($old: String!, $new: String!) {
      changePassword(input: {currentPassword: $old, newPassword: $new}) {
        user { username } session { token } errors { code field }
      }
    }"""
CHANGE_EMAIL = """
    mutation ($email: String!, $password: String!) {
      changeEmail(input: {newEmail: $email, password: $password}) { user { email } errors { code field } }
    }"""
NEW = {"username": "eve", "email": "Eve@Example.test", "password": "a quiet green harbour"}


async def sign_up(client: Client, **values: Any) -> Any:
    return await client.data(SIGN_UP, input={**NEW, **values})


async def test_signing_up_signs_in(anybody: Client, server: Running) -> None:
    payload = await sign_up(anybody, phoneNumber="+49 1512 3456789", plan="PREMIUM")
    assert payload["errors"] == []
    assert payload["user"]["__typename"] == "PremiumUser"
    assert payload["user"]["phoneNumber"] == "+4915123456789"
    assert payload["user"]["email"] == "Eve@example.test"
    assert payload["user"]["premiumSince"]
    me = Client(server.url, payload["session"]["token"])
    assert await me.data(VIEWER) == {"username": "eve", "email": "Eve@example.test", "role": "USER"}
    assert await anybody.data(VIEWER) is None


@pytest.mark.parametrize(
    ("values", "code", "field"),
    [
        ({"username": "EVE", "email": "other@example.test"}, "TAKEN", "username"),
        ({"username": "other", "email": "eve@EXAMPLE.test"}, "TAKEN", "email"),
        ({"username": "e"}, "INVALID", "username"),
        ({"username": "eve mallory"}, "INVALID", "username"),
        ({"username": "other", "email": "eve"}, "INVALID", "email"),
        ({"username": "other", "email": "=?utf-8?q?a=2C=20b?=@example.test"}, "INVALID", "email"),
        ({"username": "other", "email": "o@example.test", "phoneNumber": "0151"}, "INVALID", "phoneNumber"),
        ({"username": "other", "email": "o@example.test", "password": "short"}, "INVALID", "password"),
        ({"username": "other", "email": "o@example.test", "password": "password123"}, "INVALID", "password"),
        ({"username": "other", "email": "o@example.test", "password": "Ω" * 37}, "INVALID", "password"),
    ],
)
async def test_a_sign_up_that_cannot_be_says_why_and_leaves_nothing(
    anybody: Client, server: Running, values: dict[str, Any], code: str, field: str
) -> None:
    await sign_up(anybody)
    payload = await sign_up(anybody, **values)
    assert [(e["code"], e["field"]) for e in payload["errors"]] == [(code, ["input", field])]
    assert payload["user"] is None
    assert payload["session"] is None
    assert len(await rows_of(server.app.db, User)) == 1


async def test_of_many_who_want_one_name_at_once_one_gets_it(server: Running) -> None:
    clients = [Client(server.url) for _ in range(8)]
    payloads = await asyncio.gather(
        *(sign_up(c, username="EVE" if n % 2 else "eve", email=f"{n}@example.test") for n, c in enumerate(clients))
    )
    codes = sorted(e["code"] for p in payloads for e in p["errors"])
    assert codes == ["TAKEN"] * 7
    assert len(await rows_of(server.app.db, User)) == 1


async def test_wrong_name_and_wrong_password_get_the_same_answer_and_do_the_same_work(
    people: People, server: Running
) -> None:
    answers = [
        await Client(server.url).data(LOG_IN, username=name, password="not this one")
        for name in ("ada", "nobody", "no body\0", "")
    ]
    assert all(answer == answers[0] for answer in answers)
    assert answers[0]["errors"][0]["code"] == "BAD_CREDENTIALS"


async def test_an_unknown_user_costs_a_whole_bcrypt() -> None:
    passwords = Passwords(cost=9)
    hashed = await passwords.hash("a quiet green harbour")

    async def seconds(hashed: str | None, password: str) -> float:
        times = []
        for _ in range(5):
            begin = time.process_time()
            assert not await passwords.matches(password, hashed)
            times.append(time.process_time() - begin)
        return statistics.median(times)

    known = await seconds(hashed, "wrong")
    for password in ("wrong", "x" * 100, "nul\0", "\ud800"):
        assert await seconds(None, password) > known / 3  # without the dummy hash it would be a thousandth
    passwords.close()


async def test_only_so_many_passwords_are_hashed_at_a_time() -> None:
    passwords = Passwords(cost=9, threads=1, waiting=2)  # slow enough that none is done before all have come
    attempts = await asyncio.gather(*(passwords.matches("x", None) for _ in range(9)), return_exceptions=True)
    assert sum(isinstance(a, RateLimited) for a in attempts) == 6
    assert not await passwords.matches("x", None)
    passwords.close()


async def test_a_password_is_not_the_persons_name() -> None:
    passwords = Passwords(cost=4)
    with pytest.raises(Invalid, match="guess"):
        await passwords.hash("eve.mallory", personal=("eve.mallory", "eve@example.test"))
    passwords.close()


async def test_guessing_is_slowed_down_and_the_owner_elsewhere_is_not_locked_out(
    people: People, server: Running
) -> None:
    guesser = Client(server.url)
    for _ in range(PER_CLIENT.times):
        assert (await guesser.data(LOG_IN, username="ada", password="wrong"))["errors"][0]["code"] == "BAD_CREDENTIALS"
    refused = await guesser.data(LOG_IN, username="Ada", password=PASSWORD)
    assert refused["errors"][0]["code"] == "RATE_LIMITED"
    await log_in(server.url, "linus")
    assert (await people.ada.data(VIEWER))["username"] == "ada"


async def test_guessing_at_once_gets_nobody_further(people: People, server: Running) -> None:
    guesser = Client(server.url)
    guesses = await asyncio.gather(*(guesser.data(LOG_IN, username="ada", password=f"wrong{n}") for n in range(40)))
    codes = [guess["errors"][0]["code"] for guess in guesses]
    assert set(codes) == {"BAD_CREDENTIALS", "RATE_LIMITED"}
    assert codes.count("BAD_CREDENTIALS") <= PER_CLIENT.times


async def test_those_who_sign_in_at_once_and_know_the_password_may_come_again(people: People, server: Running) -> None:
    client = Client(server.url)
    found = await asyncio.gather(*(client.data(LOG_IN, username="ada", password=PASSWORD) for _ in range(15)))
    assert {each["errors"][0]["code"] for each in found if each["errors"]} <= {"RATE_LIMITED"}
    assert (await client.data(LOG_IN, username="ada", password=PASSWORD))["errors"] == []


async def test_no_password_takes_long_to_look_at(people: People, monkeypatch: pytest.MonkeyPatch) -> None:
    """To normalize combining characters takes a time that grows with the square of their number; to rate a password of
    seventy letters and look-alikes takes seconds."""
    normalized: list[int] = []
    rated: list[int] = []

    def normalize(form: Literal["NFC"], text: str) -> str:
        normalized.append(len(text))
        return unicodedata.normalize(form, text)

    def rate(text: str, user_inputs: list[str]) -> Any:
        rated.append(len(text))
        return zxcvbn(text, user_inputs=user_inputs)

    monkeypatch.setattr(passwords_module, "unicodedata", SimpleNamespace(normalize=normalize))
    monkeypatch.setattr(passwords_module, "zxcvbn", rate)
    refused = await people.ada.data(LOG_IN, username="ada", password="a" + "\u0300\u0316" * 65_000)
    assert refused["errors"][0]["code"] == "BAD_CREDENTIALS"
    passwords = Passwords(cost=4)
    await passwords.hash("correct horse battery staple " * 2)
    passwords.close()
    assert max(normalized) <= passwords_module.LONGEST
    assert max(rated) <= passwords_module.RATED


async def test_a_log_in_and_a_change_of_the_password_wait_for_each_other(db: Database) -> None:
    """Otherwise a session could be begun by the old password after the change has ended all that there were."""
    ada = await add_user(db)
    seen: list[str] = []

    def note(connection: Any, cursor: Any, statement: str, *rest: Any) -> None:
        seen.append(statement)

    for engine in db.sync_engines:
        event.listen(engine, "before_cursor_execute", note)
    await db.write(service.log_in, ada.id, HASH, timedelta(days=1))
    reads = [statement for statement in seen if statement.startswith("SELECT") and "password_hash" in statement]
    assert reads
    if not db.is_sqlite:  # which has one writer at a time anyway
        assert all("FOR SHARE OF users" in statement for statement in reads)


async def test_logging_out_ends_the_session_and_its_streams_but_not_the_others(people: People, server: Running) -> None:
    elsewhere = await log_in(server.url, "ada")
    watch = "subscription { changes { cursor } }"
    async with people.ada.subscribed(watch) as ended, elsewhere.subscribed(watch) as kept:
        assert await people.ada.data("mutation { logOut { errors { code } } }") == {"errors": []}
        assert await ended.error() == "UNAUTHENTICATED"
        assert await ended.socket.closed() == 4401
        assert (await kept.next())["cursor"]
    assert await people.ada.data(VIEWER) is None
    assert await people.ada.error("{ deliveries { nodes { id } } }") == "UNAUTHENTICATED"
    assert (await elsewhere.data(VIEWER))["username"] == "ada"


async def test_logging_out_everywhere_ends_all_of_ones_own(people: People, server: Running) -> None:
    elsewhere = await log_in(server.url, "ada")
    await elsewhere.data("mutation { logOut(input: {everywhere: true}) { errors { code } } }")
    assert await people.ada.data(VIEWER) is None
    assert (await people.linus.data(VIEWER))["username"] == "linus"


async def test_a_new_password_ends_all_sessions_and_begins_one(people: People, server: Running) -> None:
    async with people.ada.subscribed("subscription { changes { cursor } }") as stream:
        refused = await people.ada.data(CHANGE_PASSWORD, old="wrong", new="a quiet green harbour")
        assert refused["errors"] == [{"code": "BAD_CREDENTIALS", "field": ["input", "currentPassword"]}]
        payload = await people.ada.data(CHANGE_PASSWORD, old=PASSWORD, new="a quiet green harbour")
        assert payload["errors"] == []
        assert await stream.socket.closed() == 4403
    assert await people.ada.data(VIEWER) is None
    assert (await Client(server.url, payload["session"]["token"]).data(VIEWER))["username"] == "ada"
    assert (await Client(server.url).data(LOG_IN, username="ada", password=PASSWORD))["errors"]
    await log_in(server.url, "ada", "a quiet green harbour")


VISIBILITY = "subscription { visibilityChanged { kind entityType entityId } }"


async def test_a_changed_role_changes_what_open_streams_show_and_ends_none(people: People) -> None:
    submit = "mutation ($litres: Decimal!) { submitFuelRequest(input: {litres: $litres}) { errors { code } } }"
    set_role = """mutation ($id: ID!, $role: Role!) {
        setRole(input: {userId: $id, role: $role}) { user { role } errors { code } } }"""
    grace_id = (await people.grace.data("{ viewer { id } }"))["id"]
    root_id = (await people.root.data("{ viewer { id } }"))["id"]
    watch = "subscription { fuelRequestStatusChanged { fuelRequest { litres } } }"
    async with people.grace.subscribed(watch) as stream, people.grace.subscribed(VISIBILITY) as sight:
        assert await people.ada.error(set_role, id=grace_id, role="USER") == "FORBIDDEN"
        await people.ada.data(submit, litres="1")
        payload = await people.root.data(set_role, id=grace_id, role="USER")
        assert payload == {"user": {"role": "USER"}, "errors": []}
        await people.ada.data(submit, litres="2")
        await people.grace.data(submit, litres="3")
        assert (await people.root.data(set_role, id=grace_id, role="APPROVER"))["errors"] == []
        await people.ada.data(submit, litres="4")
        told = [(await stream.next())["fuelRequest"]["litres"] for _ in range(3)]
        assert told == ["1.00", "3.00", "4.00"]
        seen = [(await sight.next())["kind"] for _ in range(5)]
        assert seen == ["CAME", "RELOAD", "CAME", "RELOAD", "CAME"]
    last_admin = await people.root.data(set_role, id=root_id, role="USER")
    assert last_admin["errors"] == [{"code": "CONFLICT"}]


async def test_a_new_address_reaches_the_subscription_and_is_not_taken_from_anybody(people: People) -> None:
    watch = "subscription { emailChanged { previousEmail email user { username } } }"
    async with people.ada.subscribed(watch) as mine, people.root.subscribed(watch) as all_of_them:
        taken = await people.ada.data(CHANGE_EMAIL, email="LINUS@example.test", password=PASSWORD)
        assert taken["errors"] == [{"code": "TAKEN", "field": ["input", "newEmail"]}]
        wrong = await people.ada.data(CHANGE_EMAIL, email="new@example.test", password="wrong")
        assert wrong["errors"] == [{"code": "BAD_CREDENTIALS", "field": ["input", "password"]}]
        done = await people.ada.data(CHANGE_EMAIL, email="new@example.test", password=PASSWORD)
        assert done == {"user": {"email": "new@example.test"}, "errors": []}
        expected = {
            "previousEmail": "ada@example.test",
            "email": "new@example.test",
            "user": {"username": "ada"},
        }
        assert await mine.next() == expected
        assert await all_of_them.next() == expected


async def test_a_profile_keeps_what_is_left_out(people: People) -> None:
    update = "mutation ($input: UpdateProfileInput!) { updateProfile(input: $input) { user { phoneNumber } } }"
    assert await people.ada.data(update, input={}) == {"user": {"phoneNumber": "+15005550100"}}
    assert await people.ada.data(update, input={"phoneNumber": "+1 500 555 0177"}) == {
        "user": {"phoneNumber": "+15005550177"}
    }
    assert await people.ada.data(update, input={"phoneNumber": None}) == {"user": {"phoneNumber": None}}


async def test_the_token_is_stored_as_a_hash_only(people: People, server: Running) -> None:
    assert people.ada.token is not None

    def stored(session: Session) -> list[bytes]:
        return list(session.scalars(select(AuthSession.token_hash)))

    hashes = await server.app.db.read(stored)
    assert all(len(h) == 32 and h != people.ada.token.encode()[:32] for h in hashes)


async def test_others_see_neither_address_nor_number(people: People) -> None:
    await people.ada.data('mutation { submitFuelRequest(input: {litres: "1"}) { errors { code } } }')
    requester = "{ fuelRequests { nodes { requester { username email phoneNumber } } } }"
    for client, email in ((people.ada, "ada@example.test"), (people.root, "ada@example.test"), (people.grace, None)):
        (node,) = (await client.data(requester))["nodes"]
        assert node["requester"]["email"] == email
        assert (node["requester"]["phoneNumber"] is None) == (email is None)


async def test_all_users_are_for_admins(people: People) -> None:
    users = "{ users(first: 10) { nodes { username } } }"
    assert [u["username"] for u in (await people.root.data(users))["nodes"]] == ["ada", "linus", "grace", "root"]
    assert await people.grace.error(users) == "FORBIDDEN"
    assert await Client(people.ada.url).error(users) == "UNAUTHENTICATED"


async def test_the_event_loop_is_never_held_up_while_people_sign_up(
    anybody: Client, server: Running, caplog: pytest.LogCaptureFixture
) -> None:
    """Asyncio's own hook reports callbacks of more than 50 ms. It reads the clock on the wall, so on a busy machine a
    callback may look slow; one that really hashes a password is slow in each of fifteen rounds."""
    loop = asyncio.get_running_loop()
    server.app.resource(Passwords)._cost = 10  # about 70 ms
    await sign_up(anybody, username="first", email="first@example.test")  # imports and caches are filled by now
    slow, loop.slow_callback_duration = loop.slow_callback_duration, 0.05
    loop.set_debug(True)
    try:
        rounds = []
        for number in range(15):
            caplog.clear()
            names = [f"user{number}-{n}" for n in range(4)]
            await asyncio.gather(*(sign_up(anybody, username=n, email=f"{n}@example.test") for n in names))
            rounds.append([m for m in (r.getMessage() for r in caplog.records) if "took" in m and "tests/" not in m])
            if not rounds[-1]:
                break
    finally:
        loop.set_debug(False)
        loop.slow_callback_duration = slow
    assert not rounds[-1], rounds
