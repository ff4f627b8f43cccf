"""What a mutation returns: what it made, or why it could not."""

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, ParamSpec, TypeVar

import strawberry

from gql_app.errors import ErrorCode, RateLimited, UserFault, code_text

P = ParamSpec("P")
T = TypeVar("T")

strawberry.enum(ErrorCode)


@strawberry.type(description="Why a mutation could not do what it was asked.")
class UserError:
    code: ErrorCode
    message: str = strawberry.field(description="For people to read.")
    field: list[str] | None = strawberry.field(default=None, description="Path of the input field that is to blame.")
    retry_after: int | None = strawberry.field(
        default=None, description="With RATE_LIMITED: seconds after which it is worth another try."
    )

    @classmethod
    def of(cls, fault: UserFault) -> "UserError":
        code: Any = code_text(type(fault))  # a vertical may have added it to the enum of its application's schema
        wait = round(fault.retry_after) if isinstance(fault, RateLimited) else None
        field = ["input", *fault.field] if fault.field else None
        return cls(code=code, message=fault.message, field=field, retry_after=wait)

    @classmethod
    def kept(cls, told: Mapping[str, Any]) -> "UserError":
        """The same of what was kept with an idempotency key (see `idempotency.Outcome`)."""
        code: Any = ErrorCode.__members__.get(told["code"], told["code"])
        field = told["field"]
        return cls(code=code, message=told["message"], field=["input", *field] if field else None)


class KeptFault(UserFault):
    """A failure that was kept with an idempotency key."""

    def __init__(self, told: Mapping[str, Any]) -> None:
        super().__init__(told["message"])
        self.told = told


def faults_as(payload: Callable[..., T]) -> Callable[[Callable[P, Awaitable[T]]], Callable[P, Awaitable[T]]]:
    """Return expected failures of the resolver in ``errors`` of its payload; everything was rolled back by then."""

    def decorate(resolver: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
        @functools.wraps(resolver)
        async def resolve(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return await resolver(*args, **kwargs)
            except UserFault as fault:
                error = UserError.kept(fault.told) if isinstance(fault, KeptFault) else UserError.of(fault)
                return payload(errors=[error])

        return resolve

    return decorate
