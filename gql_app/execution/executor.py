"""Follows plans: reads the selected fields of objects, and does as graphql-core does with all that is not planned.

Must hold: an error is located, and null spreads, exactly as with graphql-core's own executor. The tests run both.
"""

from types import CoroutineType
from typing import Any

from graphql import Executor, GraphQLObjectType, GraphQLOutputType, GraphQLResolveInfo, Undefined
from graphql.execution.collect_fields import CollectedFields
from graphql.pyutils import Path, gather_with_cancel

from gql_app.execution.direct import KnownByClass
from gql_app.execution.plans import Details, PlannedField, Plans, is_special, nullable_of, ordinary


class PlanningExecutor(Executor[Any]):
    """graphql-core's executor. (A list that grows while its items are read is read as long as it was.)"""

    def __init__(self, *args: Any, plans: Plans, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.plans = plans

    def execute_collected_root_fields(
        self,
        root_type: GraphQLObjectType,
        root_value: Any,
        grouped_field_set: dict[str, Details],
        serially: bool,
        new_defer_usages: Any,
    ) -> Any:
        """Always with the first lists of root fields: what is known of these lists is known by their identity."""
        self.plans.root = self.plans.root or grouped_field_set
        return super().execute_collected_root_fields(root_type, root_value, self.plans.root, serially, new_defer_usages)

    def collect_subfields(self, return_type: GraphQLObjectType, field_details_list: Details) -> CollectedFields:
        return self.plans.collected(self, return_type, field_details_list)

    def collect(self, kind: GraphQLObjectType, details: Details) -> CollectedFields:
        """What graphql-core finds to be selected."""
        return super().collect_subfields(kind, details)

    def complete_object_value(
        self,
        return_type: GraphQLObjectType,
        field_details_list: Details,
        info: GraphQLResolveInfo[Any],
        path: Path,
        result: Any,
        position_context: Any,
    ) -> Any:
        knows = return_type.is_type_of
        if knows is None or (type(knows) is KnownByClass and knows.knows(result)):
            return self.collect_and_execute_subfields(return_type, field_details_list, path, result, position_context)
        return super().complete_object_value(return_type, field_details_list, info, path, result, position_context)

    def collect_and_execute_subfields(
        self,
        return_type: GraphQLObjectType,
        field_details_list: Details,
        path: Path | None,
        result: Any,
        position_context: Any = None,
    ) -> Any:
        """The object's fields by their names in the response, or something that waits for those that are to come."""
        values: dict[str, Any] = {}
        coming: list[str] = []
        try:
            for field in self.plans.plan(self, return_type, field_details_list):
                if field.coerce is None:
                    values[field.name] = value = self._value(field, result, path)
                    if type(value) is CoroutineType:
                        coming.append(field.name)
                    continue
                try:  # most fields are read right here: calls are what it costs
                    read = field.plain(result)
                    if type(read) in ordinary:
                        value = field.coerce(read)
                        if value is None or value is Undefined:
                            value = self.complete_otherwise(read, field, path)
                    elif read is None and field.nullable:
                        value = None
                    else:
                        value = self.complete_unknown(read, field, path)
                        if type(value) is CoroutineType:
                            coming.append(field.name)
                except Exception as error:
                    self._failed(error, field, path)
                    value = None
                values[field.name] = value
        except Exception:
            self.settle_in_background([values[name] for name in coming])
            raise
        return _awaited(values, coming) if coming else values

    def _value(self, field: PlannedField, source: Any, parent: Path | None) -> Any:
        """The field's value as it is answered, or a coroutine that finds it."""
        if field.complete is None:
            return self.execute_field(field.parent, source, field.details, field.path(parent), None)
        try:
            if field.plain is not None:
                found = field.complete(self, field.plain(source), field, parent)
            else:
                info = self.info(field, parent)
                value = field.definition.resolve(source, info) if field.definition.resolve else None
                if self.is_awaitable(value):
                    return self.complete_awaitable_value(
                        field.definition.type, field.details, info, info.path, value, None
                    )
                found = field.complete(self, value, field, parent)
            if type(found) is CoroutineType:
                return self._guarded(found, field.definition.type, field.details, field.path(parent))
        except Exception as error:
            self._failed(error, field, parent)
            return None
        return found

    def _failed(self, error: Exception, field: PlannedField, parent: Path | None) -> None:
        """Null, and the error told of; raises it where null may not be."""
        self.handle_field_error(error, field.definition.type, field.details, field.path(parent))

    async def _guarded(self, value: Any, kind: GraphQLOutputType, details: Details, path: Path) -> Any:
        try:
            return await value
        except Exception as error:
            self.handle_field_error(error, kind, details, path)
            return None

    def info(self, field: PlannedField, parent: Path | None) -> GraphQLResolveInfo[Any]:
        return self.build_resolve_info(field.definition, field.nodes, field.parent, field.path(parent))

    def complete_otherwise(self, value: Any, field: PlannedField, parent: Path | None) -> Any:
        """graphql-core's way with a value that plans do not know."""
        info = self.info(field, parent)
        if self.is_awaitable(value):
            return self.complete_awaitable_value(field.definition.type, field.details, info, info.path, value, None)
        return self.complete_value(field.definition.type, field.details, info, info.path, value, None)

    def complete_unknown(self, value: Any, field: PlannedField, parent: Path | None) -> Any:
        """graphql-core's way with a leaf of a type that was not seen before, or is none of the ordinary."""
        if not is_special(type(value)):
            ordinary.add(type(value))
        return self.complete_otherwise(value, field, parent)

    def complete_list(
        self, values: list[Any], kinds: list[GraphQLObjectType], field: PlannedField, parent: Path | None
    ) -> Any:
        """A list of objects of these kinds; what goes wrong with one is located at its place in the list."""
        item_type = nullable_of(field.definition.type).of_type
        path = field.path(parent)
        found: list[Any] = []
        coming: list[int] = []
        try:
            for index, (value, kind) in enumerate(zip(values, kinds, strict=True)):
                place = Path(path, index, None)
                try:
                    completed = self.collect_and_execute_subfields(kind, field.details, place, value)
                    if type(completed) is CoroutineType:
                        completed = self._guarded(completed, item_type, field.details, place)
                        coming.append(index)
                except Exception as error:
                    self.handle_field_error(error, item_type, field.details, place)
                    completed = None
                found.append(completed)
        except Exception:
            self.settle_in_background([found[index] for index in coming])
            raise
        return _awaited(found, coming) if coming else found


async def _awaited(values: Any, coming: list[Any]) -> Any:
    """A list or a dict, with what was to come at these places."""
    if len(coming) == 1:
        values[coming[0]] = await values[coming[0]]
    else:
        for place, value in zip(coming, await gather_with_cancel(*(values[c] for c in coming)), strict=True):
            values[place] = value
    return values
