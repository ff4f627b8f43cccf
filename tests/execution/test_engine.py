"""What `Settings.fast` switches reaches the engine."""

from dataclasses import replace
from typing import Any

import pytest
from strawberry.types.field import StrawberryField

from gql_app.execution.executor import PlanningExecutor
from gql_app.settings import Settings
from gql_app.testing.client import Client
from gql_app.testing.server import serving


@pytest.mark.parametrize("fast", [True, False])
async def test_without_short_cuts_strawberry_and_graphql_core_do_it_all(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, fast: bool
) -> None:
    planned: list[Any] = []
    by_strawberry: list[str] = []
    root_fields, get_result = PlanningExecutor.execute_collected_root_fields, StrawberryField.get_result

    def plan(executor: PlanningExecutor, *arguments: Any) -> Any:
        planned.append(executor.operation)
        return root_fields(executor, *arguments)

    def resolve(field: StrawberryField, *arguments: Any, **named: Any) -> Any:
        by_strawberry.append(field.python_name)
        return get_result(field, *arguments, **named)

    monkeypatch.setattr(PlanningExecutor, "execute_collected_root_fields", plan)
    monkeypatch.setattr(StrawberryField, "get_result", resolve)
    async with serving(replace(settings, fast=fast)) as running:
        assert await Client(running.url).data("{ viewer { id } }") is None
    assert (bool(planned), "viewer" in by_strawberry) == (fast, not fast)
