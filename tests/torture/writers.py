"""People who ask, decide, and change projects, each at any server; what breaks off is left as it is."""

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import httpx

from tests.crash.town import Place
from tests.people import DECIDE, SUBMIT
from tests.torture.told import Told

CREATE_PROJECT = """
    mutation ($name: String!) {
      createProject(input: {name: $name}) { project { id } errors { code message } }
    }"""
SET_STATUS = """
    mutation ($id: ID!, $status: ProjectStatus!) {
      setProjectStatus(input: {id: $id, status: $status}) { project { id } errors { code message } }
    }"""
ADD_COMMENT = """
    mutation ($id: ID!, $body: String!) {
      addComment(input: {projectId: $id, body: $body}) { comment { id } errors { code message } }
    }"""
STATUSES = ("PLANNED", "ACTIVE", "ON_HOLD", "DONE")
LONGEST_PAUSE = 0.4
"""Seconds between two things that one writer does, at most."""
PATIENCE = 15.0


class Unsettled(Exception):
    """Nobody was told whether it has happened."""


class Refused(Exception):
    """It did not happen: somebody else was first."""


class Writer:
    """Does one thing after the other for ever."""

    def __init__(
        self,
        place: Place,
        tokens: Mapping[str, str],
        rng: random.Random,
        told: Told,
        http: httpx.AsyncClient,
        undecided: set[str],
    ) -> None:
        """``undecided`` are the requests that nobody is told are decided, shared by all writers."""
        self._place = place
        self._tokens = tokens
        self._rng = rng
        self._told = told
        self._http = http
        self._undecided = undecided
        self._askers = sorted(tokens.keys() - {"grace", "root"})
        self._owner = rng.choice(self._askers)
        self._project: str | None = None
        self._status = STATUSES[0]

    async def write(self) -> None:
        acts = (self._submit, self._submit, self._decide, self._decide, self._decide_twice, self._change_project)
        while True:
            try:
                await self._rng.choice(acts)()
            except (Unsettled, Refused) as error:
                self._told.answers[type(error).__name__] += 1
            await asyncio.sleep(self._rng.uniform(0, LONGEST_PAUSE))

    async def _submit(self) -> None:
        litres = str(self._rng.randint(1, 500))
        request = await self._post(self._rng.choice(self._askers), SUBMIT, litres=litres)
        self._told.submitted.add(request["id"])
        self._undecided.add(request["id"])

    async def _decide(self) -> None:
        if self._undecided:
            await self._decide_as(self._rng.choice(sorted(self._undecided)), self._a_decision())

    async def _decide_twice(self) -> None:
        """Both at once, perhaps at two servers."""
        if self._undecided:
            request = self._rng.choice(sorted(self._undecided))
            both = [self._decide_as(request, self._a_decision()) for _ in range(2)]
            for result in await asyncio.gather(*both, return_exceptions=True):
                if isinstance(result, BaseException):
                    raise result

    async def _decide_as(self, request: str, status: str) -> None:
        try:
            decided = await self._post("grace", DECIDE, id=request, status=status)
        except Refused:  # also where an earlier attempt, of which nobody was told, has decided it
            self._undecided.discard(request)
            raise
        self._undecided.discard(request)
        self._told.decide(decided["id"], decided["status"])

    def _a_decision(self) -> str:
        return self._rng.choice(("APPROVED", "REJECTED"))

    async def _change_project(self) -> None:
        """One's own: nobody else changes it."""
        if self._project is None or self._rng.random() < 0.05:
            self._project, self._status = None, STATUSES[0]
            self._project = (await self._post(self._owner, CREATE_PROJECT, name="Pumps"))["id"]
            self._told.projects.add(self._project)
        elif self._rng.random() < 0.5:
            status = self._status = self._rng.choice([each for each in STATUSES if each != self._status])
            await self._post(self._owner, SET_STATUS, id=self._project, status=status)
            self._told.statuses[self._project].append(status)
        else:
            comment = await self._post(self._owner, ADD_COMMENT, id=self._project, body="How far are we?")
            self._told.comments.add(comment["id"])

    async def _post(self, who: str, query: str, /, **variables: Any) -> dict[str, Any]:
        """The entity that the only payload holds."""
        body = {"query": query, "variables": variables}
        headers = {"Authorization": f"Bearer {self._tokens[who]}"}
        url = await self._place.wait()
        try:
            response = await self._http.post(url + "/graphql", json=body, headers=headers)
        except httpx.TransportError as error:
            self._told.answers[type(error).__name__] += 1
            raise Unsettled from error
        return self._read(response)

    def _read(self, response: httpx.Response) -> dict[str, Any]:
        try:
            answer = response.json()
            codes = {error["extensions"]["code"] for error in answer.get("errors", ())}
        except (ValueError, LookupError, TypeError, AttributeError):
            answer, codes = {}, {f"HTTP {response.status_code}: {response.text[:200]!r}"}
        self._told.answers.update(codes)
        if codes:
            if not codes <= {"UNAVAILABLE", "OUTCOME_UNKNOWN"}:
                self._told.wrong.append(f"a mutation was answered {', '.join(sorted(codes))}")
            raise Unsettled
        (payload,) = answer["data"].values()
        codes = {error["code"] for error in payload.pop("errors")}
        self._told.answers.update(codes)
        if codes:
            if codes != {"CONFLICT"}:
                self._told.wrong.append(f"a mutation was refused with {', '.join(sorted(codes))}")
            raise Refused
        (entity,) = payload.values()
        return dict(entity)
