"""SIGKILL around the commit of a mutation that was sent with an idempotency key: asked again, it was done once."""

from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import Any

import httpx
import pytest

from gql_app.accounts import User
from gql_app.api.ids import encode_id
from gql_app.changes.sequencer import move
from gql_app.db import Database
from gql_app.testing.client import Client
from tests.api.test_idempotency import send
from tests.crash.breaking import IN_THE_TRANSACTION, Step
from tests.crash.forked import ForkedProcess
from tests.crash.town import sign_up
from tests.people import DECIDE
from tests.things import add_request, logged, rows_of

pytestmark = pytest.mark.crash


AROUND = [each for each in IN_THE_TRANSACTION if each.name in ("before-commit", "after-commit")]


@pytest.mark.parametrize("step", AROUND, ids=lambda step: step.name)
async def test_asked_again_with_the_same_key_it_was_done_once(
    step: Step, db: Database, broadcast_url: str, tmp_path: Path, starter: ForkServerContext
) -> None:
    tokens = await sign_up(db, ["ada"])
    (ada,) = [each for each in await rows_of(db, User) if each.username == "ada"]
    request = await add_request(db, ada)
    environment = {"DATABASE_URL": db.url.render_as_string(hide_password=False), "BROADCAST_URL": broadcast_url}
    serve = (starter, tmp_path, environment, "serve", "--port", "0")

    async def decide(url: str) -> Any:
        grace = Client(url, tokens["grace"])
        answer = await send(grace, "decision", DECIDE, id=encode_id("FuelRequest", request.public_id))
        return answer["data"]["decideFuelRequest"]

    async with ForkedProcess(*serve, step=step.name) as process:
        with pytest.raises(httpx.TransportError):
            await decide(await process.url())
        await process.ended()
    async with ForkedProcess(*serve) as process:
        url = await process.url()
        answers = [await decide(url) for _ in range(2)]
    assert answers[0] == answers[1]
    assert (answers[0]["errors"], answers[0]["fuelRequest"]["status"]) == ([], "APPROVED")
    await move(db)
    told = [each.new_value for each in await logged(db, "FuelRequest") if each.attribute == "status"]
    assert told == ["PENDING", "APPROVED"]
