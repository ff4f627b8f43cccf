"""What does not fit together is refused when an application is made; what sign-in functions leave open is looked at."""

import functools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
import strawberry
from sqlalchemy import ForeignKey, String
from sqlalchemy.orm import DeclarativeBase, Mapped, configure_mappers, mapped_column

from gql_app import (
    Audience,
    Authentication,
    BigId,
    Credentials,
    Node,
    Settings,
    Tracked,
    UserError,
    Vertical,
    Viewer,
    entity,
    on_change,
    owner,
    related,
    role,
    tracked,
)
from gql_app.app import App
from gql_app.application import Application
from gql_app.audiences import registry
from gql_app.deliveries.rules import registrations_of
from gql_app.errors import ConfigurationError, Conflict, UserFault
from gql_app.testing.server import serving


class Base(DeclarativeBase):
    """Of its own: these tables are nowhere."""


class Vault(Tracked, Base):
    """Kept from admins."""

    __tablename__ = "app_vaults"
    __entity__ = "AppVault"
    __audience__ = Audience(owner("user_id"), admins=False)

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(BigId)
    text: Mapped[str] = tracked(String(8))


class Door(Tracked, Base):
    """Leads to a vault."""

    __tablename__ = "app_doors"
    __entity__ = "AppDoor"
    __audience__ = Audience(owner("user_id"), role("KEEPER"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    user_id: Mapped[int] = mapped_column(BigId)
    vault_id: Mapped[int] = mapped_column(BigId, ForeignKey("app_vaults.id"))
    text: Mapped[str] = tracked(String(8))


class OtherBase(DeclarativeBase):
    """Of another application in this process."""


class OtherVault(Tracked, OtherBase):
    """The same name for another kind."""

    __tablename__ = "app_vaults"
    __entity__ = "AppVault"

    id: Mapped[int] = mapped_column(BigId, primary_key=True)


configure_mappers()
for _model in (Vault, Door, OtherVault):
    registry.discard(_model)


@entity(Vault)
class ShownVault(Node):
    """A vault."""

    text: str


@entity(Door)
class ShownDoor(Node):
    """A door."""

    vault: ShownVault | None = related(Door.vault_id)


@on_change(Door.text, propagate=True)
def tell(change: Any) -> Iterator[Any]:
    yield from ()


@functools.wraps(tell)
def logged(change: Any) -> Iterator[Any]:
    yield from tell(change)


def no_rule(change: Any) -> Iterator[Any]:
    yield from ()


async def nobody(credentials: Credentials) -> Viewer | None:
    return None


@strawberry.type
class Pump:
    @strawberry.field
    def pump(self) -> UserError:
        return UserError.of(Leaking())

    @strawberry.field
    def again(self) -> UserError:
        return UserError.of(Conflict())


OF_PUMPS = Vertical("pumps", mutations=(Pump,))
KEEPER = Vertical("keeper", roles=("KEEPER",))
VAULTS = Vertical("vaults", entities=(ShownVault,))
DOORS = Vertical("doors", entities=(ShownDoor,), rules=(tell,))
SIGN_IN, OTHER_SIGN_IN = (Vertical(name, authentication=Authentication(nobody)) for name in ("one", "two"))
REFUSED = {
    "a type that shows a model of no vertical": ([DOORS, KEEPER], "shows a Vault, which no vertical"),
    "a role that nobody has": ([DOORS, VAULTS], "names the role KEEPER"),
    "a rule about a model of no vertical": ([Vertical("x", rules=(tell,))], "is about Door, which no vertical"),
    "a function that is no rule": ([Vertical("x", rules=(no_rule,))], "no_rule is no rule"),
    "a wrapper around a rule": ([Vertical("x", rules=(logged,))], "is no rule"),
    "two ways to know who looks": ([SIGN_IN, OTHER_SIGN_IN], "Both one and two say who looks"),
    "two verticals of one name": ([Vertical("x"), Vertical("x")], "Two verticals have the name 'x'"),
    "a vertical called as the engine": ([Vertical("engine")], "Two verticals have the name 'engine'"),
    "a vertical called as the time before": ([Vertical("before")], "Two verticals have the name 'before'"),
    "a vertical called as one of ours": (
        [Vertical("projects", migrations=Path())],
        "the name of a vertical of gql_app",
    ),
    "one that is needed and is not there": ([Vertical("x", needs=(KEEPER,))], "'x' needs 'keeper'"),
    "two kinds of one name": ([VAULTS, Vertical("x", models=(OtherVault,))], "both call themselves AppVault"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_together_is_refused(name: str) -> None:
    verticals, sentence = REFUSED[name]
    with pytest.raises(ConfigurationError, match=sentence):
        Application(verticals)


class Leaking(UserFault):
    """The boat takes in water."""

    code = "LEAKING"


class Clashing(UserFault):
    """With a code that is there."""

    code = "CONFLICT"


def test_error_codes_of_verticals_are_the_schemas_and_no_other_applications() -> None:
    with_it, without = Application([Vertical("x", mutations=(Pump,), errors=(Leaking,))]), Application([OF_PUMPS])
    assert "LEAKING" in str(with_it.schema)
    assert "The boat takes in water." in str(with_it.schema)
    assert "LEAKING" not in str(without.schema)
    answer = with_it.schema.execute_sync("mutation { pump { code } again { code } }")
    assert (answer.data, answer.errors) == ({"pump": {"code": "LEAKING"}, "again": {"code": "CONFLICT"}}, None)
    with pytest.raises(ConfigurationError, match=r"Clashing\.code must be a code of its own"):
        _ = Application([Vertical("x", mutations=(Pump,), errors=(Clashing,))]).schema


def test_two_applications_may_have_kinds_of_one_name() -> None:
    first, second = Application([VAULTS]), Application([Vertical("x", models=(OtherVault,))])
    assert first.catalog.kinds["AppVault"].model is Vault
    assert second.catalog.kinds["AppVault"].model is OtherVault
    assert first.catalog.confidential == {"AppVault"}
    assert second.catalog.confidential == frozenset()


def test_a_rule_of_two_verticals_is_run_once() -> None:
    both = [VAULTS, KEEPER, DOORS, Vertical("again", rules=(tell,))]
    (registrations,) = [value for name, value in Application(both).session_info.items() if "rules" in name]
    assert list(registrations) == list(registrations_of(tell))


@pytest.mark.parametrize(
    ("found", "is_known"),
    [
        (Viewer(1), True),
        (Viewer(1, expires_at=datetime.now(UTC) + timedelta(hours=1)), True),
        (Viewer(1, expires_at=datetime.now(UTC) - timedelta(seconds=1)), False),
        (Viewer(2**70), False),
    ],
)
async def test_a_viewer_who_has_expired_or_cannot_be_in_a_column_is_nobody(
    settings: Settings, found: Viewer, is_known: bool
) -> None:
    async def who(credentials: Credentials) -> Viewer:
        return found

    app = App(settings, [Vertical("sign-in", authentication=Authentication(who))])
    async with app.running(deliver=False):
        context = await app.make_context("Bearer x", "127.0.0.1")
        assert (context.viewer is not None) == is_known
        assert context.token_is_dead == (not is_known)
        if context.viewer is not None:
            assert context.viewer.catalog is app.application.catalog


async def test_an_identity_provider_that_is_away_is_an_outage(settings: Settings) -> None:
    async def who(credentials: Credentials) -> None:
        raise ConnectionRefusedError

    verticals = [Vertical("sign-in", authentication=Authentication(who))]
    async with serving(settings, verticals) as server, httpx.AsyncClient() as http:
        headers = {"Authorization": "Bearer x"}
        answer = await http.post(server.url + "/graphql", json={"query": "{ __typename }"}, headers=headers)
        assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
        assert answer.json()["errors"][0]["extensions"] == {"code": "UNAVAILABLE", "retryable": True}
