"""A unit of work as a mutation.

    @mutation(Boat, roles=[Role.HARBOUR_MASTER])
    def move_boat(session: Session, viewer: Viewer, boat: models.Boat, berth: str) -> models.Boat:
        '''Move a boat to another berth.'''
        boat.berth = clean_text(berth, field="berth", longest=40)
        return boat

becomes `moveBoat(input: {id, berth}): {boat, errors}`. A parameter that is a tracked model is given by its id: the
one that the mutation is about as `id`, others as `…Id`. Who may not see it is told NOT_FOUND, unless it is
`Annotated[User, ANYBODY]`. The function stays what it is.
"""

import enum
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Final, TypeVar, get_args, get_origin, get_type_hints
from uuid import UUID

import strawberry
from sqlalchemy import Select, bindparam, select
from sqlalchemy.orm import Session
from sqlalchemy.sql.base import ExecutableOption
from strawberry.utils.str_converters import to_camel_case

from gql_app.api.context import Info
from gql_app.api.ids import id_of
from gql_app.api.payloads import UserError, faults_as
from gql_app.audiences.conditions import visible
from gql_app.audiences.kinds import kind_of
from gql_app.changes.tracking import Tracked
from gql_app.declared.shape import Declared, declared
from gql_app.declared.values import camel, fit, known_enum, spoken, words
from gql_app.errors import NotFound
from gql_app.idempotency import TAKES_A_KEY, Once, only_once
from gql_app.viewer import Viewer

F = TypeVar("F", bound=Callable[..., Any])

ANYBODY: Final = "gql_app.anybody"
"""In ``Annotated[User, ANYBODY]``: the entity is found whoever may see it, by those who know its id."""
_PART: Final = "__gql_app_mutation__"


@dataclass(frozen=True, slots=True)
class _Parameter:
    """`field` is its name in the input; `model` the tracked model of which it is an entity."""

    name: str
    field: str
    kind: Any
    model: type[Tracked] | None
    default: Any
    description: str
    is_checked: bool = True
    by_id: Select[Any] | None = None
    """The statement for the entity, whoever may see it."""


def mutation(of: type[Any], *, roles: Sequence[enum.Enum | str] = ()) -> Callable[[F], F]:
    """Make a unit of work a mutation, which returns an entity of this GraphQL type.

    It is for signed-in people; with ``roles`` for those who have one of them, and for admins.

    Its first two parameters are the session and the viewer, the others make the input. `Annotated[str, "…"]` describes
    one; `Annotated[Boat, joinedload(Boat.skipper)]` loads the boat so. Expected failures (`UserFault`) become
    ``errors`` of the payload, and nothing is written then.

    Raises:
        TypeError: it is no such function.
    """

    def declare(work: F) -> F:
        setattr(work, _PART, _part(declared(of), work, tuple(roles)))
        return work

    return declare


def part_of(work: Any) -> type:
    """The Strawberry type whose field the mutation is; a Strawberry type is one itself.

    Raises:
        TypeError: it is neither.
    """
    found = work if isinstance(work, type) else getattr(work, _PART, None)
    if found is None:
        raise TypeError(f"{work!r} is no mutation: decorate it with @mutation(…)")
    return found


def _part(of: Declared, work: Any, roles: Sequence[enum.Enum | str]) -> type:
    name, said = work.__name__, (work.__doc__ or "").strip()
    if not said:
        raise TypeError(f"{name} has no docstring: it is what people read about the mutation")
    parameters = _parameters(work, of.model)
    payload, given, shown = _payload(of, name), _input(parameters, name), words(of.graphql.__name__)

    async def resolve(self: Any, info: Info, input: Any) -> Any:
        viewer = info.context.require_role(*roles) if roles else info.context.require_viewer()
        values = {each.name: _value(each, getattr(input, each.field)) for each in parameters}

        def do(session: Session) -> Tracked:
            found = {each.name: _load(session, viewer, each, values[each.name]) for each in parameters}
            entity = work(session, viewer, **found)
            if not isinstance(entity, of.model):
                raise TypeError(f"{name} has returned {type(entity).__name__} and no {of.model.__name__}")
            session.flush()
            return entity

        def run(session: Session) -> Any:
            return of.of(session, viewer, do(session))

        def run_once(session: Session) -> UUID:
            return do(session).public_id

        with fit(None):
            if info.context.once is not None:
                return payload(**await _once(info, info.context.once, viewer, run_once, of, shown))
            return payload(**{shown: await info.context.write(run)})

    described = strawberry.argument(description=f"What `{to_camel_case(name)}` takes.")
    resolve.__annotations__ = {
        "self": Any,
        "info": Info,
        "input": Annotated[given, described],
        "return": payload,
    }
    setattr(resolve, TAKES_A_KEY, True)
    field = strawberry.mutation(resolver=faults_as(payload)(resolve), description=said)
    made: type = strawberry.type(type(f"{camel(name)}Mutation", (), {name: field}))
    return made


async def _once(
    info: Info, once: Once, viewer: Viewer, work: Callable[[Session], UUID], of: Declared, shown: str
) -> dict[str, Any]:
    """The payload's fields for a mutation with an idempotency key: what came of it, then or now, as it is now."""
    field = str(info.path.key)

    def run(session: Session) -> dict[str, Any]:
        outcome, _ = only_once(session, viewer.id, once, field, work)
        if outcome.entity_id is None:
            return {"errors": [UserError.kept(each) for each in outcome.errors]}
        return {shown: of.by_public_id(session, viewer, [outcome.entity_id]).get(outcome.entity_id)}

    return await info.context.write(run)


def _parameters(work: Any, own: type[Tracked]) -> list[_Parameter]:
    hints = get_type_hints(work, include_extras=True)
    known = list(inspect.signature(work).parameters.values())
    if [hints.get(each.name) for each in known[:2]] != [Session, Viewer] or inspect.iscoroutinefunction(work):
        raise TypeError(
            f"{work.__name__} must be a unit of work: def {work.__name__}(session: Session, viewer: Viewer, …)"
        )
    if not known[2:]:
        raise TypeError(f"{work.__name__} takes nothing but the session and the viewer: give it at least one parameter")
    found: list[_Parameter] = []
    for each in known[2:]:
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD):
            raise TypeError(
                f"{work.__name__} takes *{each.name}: name its parameters, they are the fields of its input"
            )
        one = _parameter(each, hints[each.name], None if any(other.field == "id" for other in found) else own)
        if any(to_camel_case(other.field) == to_camel_case(one.field) for other in found):
            raise TypeError(
                f"two parameters of {work.__name__} become the field {to_camel_case(one.field)} of its input"
            )
        found.append(one)
    return found


def _parameter(given: inspect.Parameter, hint: Any, own: type[Tracked] | None) -> _Parameter:
    """``own``: the model whose entity is given as `id`."""
    notes: Sequence[Any] = ()
    if get_origin(hint) is Annotated:
        hint, *notes = get_args(hint)
    said = next((note for note in notes if isinstance(note, str) and note != ANYBODY), None)
    if _is_model(hint):
        field = "id" if hint is own else f"{given.name}_id"
        described = said or f"The id of the {spoken(given.name)}."
        options = [note for note in notes if isinstance(note, ExecutableOption)]
        by_id = select(hint).where(hint.public_id == bindparam("public_id")).options(*options)
        return _Parameter(given.name, field, hint, hint, given.default, described, ANYBODY not in notes, by_id)
    if any(_is_model(one) for one in get_args(hint)):
        raise TypeError(f"{given.name} may be left out: take its id as a text, and look it up")
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        known_enum(hint)
    return _Parameter(given.name, given.name, hint, None, given.default, said or f"The {spoken(given.name)}.")


def _is_model(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, Tracked)


def _input(parameters: Sequence[_Parameter], name: str) -> Any:
    fields: dict[str, Any] = {"__annotations__": {}}
    for each in parameters:
        fields["__annotations__"][each.field] = each.kind if each.model is None else strawberry.ID
        described: dict[str, Any] = {"description": each.description}
        if each.default is not inspect.Parameter.empty:
            described["default"] = each.default
        fields[each.field] = strawberry.field(**described)
    return strawberry.input(type(f"{camel(name)}Input", (), fields), description=f"What `{to_camel_case(name)}` takes.")


def _payload(of: Declared, name: str) -> Any:
    entity = words(of.graphql.__name__)
    fields: dict[str, Any] = {
        "__annotations__": {entity: of.graphql | None, "errors": list[UserError]},
        entity: strawberry.field(default=None, description="As it is now. Null with errors, or if you may not see it."),
        "errors": strawberry.field(default_factory=list, description="Why nothing was changed; empty otherwise."),
    }
    described = f"What `{to_camel_case(name)}` has done."
    return strawberry.type(type(f"{camel(name)}Payload", (), fields), description=described)


def _value(parameter: _Parameter, given: Any) -> Any:
    """Raises Invalid for an id of another kind."""
    if parameter.model is None:
        return given
    return id_of(parameter.model.__entity__, given, field=to_camel_case(parameter.field))


def _load(session: Session, viewer: Viewer, parameter: _Parameter, value: Any) -> Any:
    model, query = parameter.model, parameter.by_id
    if model is None or query is None:
        return value
    by_row = viewer.can_tell(model)
    if parameter.is_checked and not by_row:
        query = query.where(visible(model, viewer))
    found = session.scalar(query, {"public_id": value})
    if found is not None and parameter.is_checked and by_row:
        deciding = {name: getattr(found, name) for name in kind_of(model).columns}
        found = found if viewer.covers(model, deciding) else None
    if found is None:
        raise NotFound(field=to_camel_case(parameter.field))
    return found
