"""Parsing and validating documents, once each: what a frontend sends is the same few texts over and over."""

import gc
import time
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import NamedTuple
from weakref import WeakValueDictionary

from graphql import (
    DocumentNode,
    GraphQLError,
    GraphQLSchema,
    NoSchemaIntrospectionCustomRule,
    OperationDefinitionNode,
    parse,
    specified_rules,
    validate,
)

from gql_app.execution.introspection import Sizes
from gql_app.execution.limits import MAX_LENGTH, MAX_TOKENS, Weighed, weigh
from gql_app.execution.operations import is_conditional, resume_variables_of
from gql_app.execution.plans import Plans
from gql_app.limiter import NOBODY, FairQueue, Whose

CACHED = 1_000
CACHED_CHARACTERS = 500_000
"""Of all remembered documents. With its plans a document takes up to 240 bytes per character: 120 MB at the most."""
SEEN = 10_000
"""Documents of which it is known that they have come before: by their hash."""
LARGEST_CACHED = 10_000
"""Characters; a longer document is no frontend's."""
CHECKED_INLINE = 500
"""Characters, some milliseconds. A longer document is checked in a thread, and one with more pairs than that:"""
COMPARED_INLINE = 500
"""Pairs of fields of the same name, a few microseconds each."""
CHECKS_WAITING, CHECKS_OF_ONE = 64, 16
"""Documents that wait for the thread: in all, and of one address."""
PER_CHARACTER = 0.2
"""Points that it costs to check a document, before it is known: a usual one of 300 characters takes 0.6 ms."""
POINTS = 100_000
"""Points of a budget per second of a core: 10 microseconds each (see `limiter.budget`)."""


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class Prepared:
    """A document that was found valid, or why it is not.

    `resume_variables` are those that say nothing but where a subscription begins; `conditional` is a
    document in which some fields are selected only for some values of the variables.
    """

    document: DocumentNode | None
    errors: tuple[GraphQLError, ...] = ()
    resume_variables: frozenset[str] = frozenset()
    conditional: bool = False
    length: int = 0
    cost: int = 0
    """Fields that the answer may hold, of the dearest operation."""
    _plans: dict[int, Plans] = field(default_factory=dict, repr=False)

    def operation(self, name: str | None) -> OperationDefinitionNode:
        """The operation to execute. Raises GraphQLError when that is not clear."""
        assert self.document is not None
        found = [d for d in self.document.definitions if isinstance(d, OperationDefinitionNode)]
        if name is not None:
            found = [d for d in found if d.name is not None and d.name.value == name]
        if not found:
            raise GraphQLError(
                "The document has no operation of that name." if name else "The document has no operation."
            )
        if len(found) > 1:
            raise GraphQLError("The document has several operations: say which by `operationName`.")
        return found[0]

    def plans(self, operation: OperationDefinitionNode) -> Plans:
        """How to read what one of its operations selects."""
        return Plans() if self.conditional else self._plans.setdefault(id(operation), Plans(self.length))


LIMIT_EXCEEDED = "LIMIT_EXCEEDED"
"""The code of a document that is too long, too deep or asks for too much."""
_ABORTED = "Parsing aborted"
"""In what graphql-core's parser says when one of the limits that it was given is broken."""


class Documents:
    """Prepares documents for one schema. Those that come more than once are remembered, the most recent ones."""

    def __init__(self, schema: GraphQLSchema, *, introspection: bool = True) -> None:
        """``introspection``: whether the schema may be asked about."""
        self._schema = schema
        self._rules = specified_rules if introspection else (*specified_rules, NoSchemaIntrospectionCustomRule)
        self._sizes = Sizes.of(schema)
        self._cache: OrderedDict[str, Prepared] = OrderedDict()
        self._running: WeakValueDictionary[str, Prepared] = WeakValueDictionary()
        """Those that an operation has at the moment: who subscribes alike shares with the first one."""
        self._seen: OrderedDict[int, None] = OrderedDict()
        self._characters = 0
        # One thread: with more the event loop would wait for more others at each turn of the interpreter's lock.
        self._checking = FairQueue(
            "documents",
            threads=1,
            at_all=CHECKS_WAITING,
            per_address=CHECKS_OF_ONE,
            per_line=CHECKS_OF_ONE,
            told="Too many documents wait to be checked; try again in a moment.",
        )

    def close(self) -> None:
        self._checking.close()

    def knows(self, text: str) -> bool:
        return text in self._cache or text in self._running

    async def prepare(self, text: str, whose: Whose = NOBODY) -> tuple[Prepared, float]:
        """The document, and what it has cost to check it in points of a budget: none if it was known.

        Raises:
            RateLimited: too many documents wait to be checked.
        """
        found = self._cache.get(text)
        if found is not None:
            self._cache.move_to_end(text)
            return found, 0.0
        if (running := self._running.get(text)) is not None:
            self._remember(text, running)
            return running, 0.0
        began = time.thread_time()
        read = self._read(text) if len(text) <= CHECKED_INLINE else text
        if isinstance(read, Prepared):
            prepared = read
        elif isinstance(read, _Read) and read.weighed.pairs <= COMPARED_INLINE:
            prepared = self._validated(read)
        else:
            prepared, took = await self._checking.run(whose, self._check, read)
            began = time.thread_time() - took
        points = (time.thread_time() - began) * POINTS
        self._running[text] = prepared
        if self._was_seen(text):
            self._remember(text, prepared)
        return prepared, points

    def _was_seen(self, text: str) -> bool:
        """Whether it has come before. What comes once is not kept: somebody can make up any number of those."""
        name = hash(text)
        if name in self._seen:
            return True
        self._seen[name] = None
        if len(self._seen) > SEEN:
            self._seen.popitem(last=False)
        return False

    def _remember(self, text: str, prepared: Prepared) -> None:
        if len(text) > LARGEST_CACHED or text in self._cache:  # somebody else may have checked it meanwhile
            return
        self._cache[text] = prepared
        self._characters += len(text)
        while len(self._cache) > CACHED or self._characters > CACHED_CHARACTERS:
            forgotten, _ = self._cache.popitem(last=False)
            self._characters -= len(forgotten)

    def _check(self, read: "str | _Read") -> tuple[Prepared, float]:
        """In a thread; also how many seconds of a core it took."""
        began = time.thread_time()
        found = self._read(read) if isinstance(read, str) else read
        prepared = found if isinstance(found, Prepared) else self._validated(found)
        # Validation leaves some 25,000 objects that refer to each other. Left to pile up, they are a pause of 150 ms.
        gc.collect(1)
        return prepared, time.thread_time() - began

    def _read(self, text: str) -> "Prepared | _Read":
        try:
            document = parse(text, max_lexical_tokens=MAX_TOKENS, max_source_length=MAX_LENGTH, max_comments=MAX_TOKENS)
        except GraphQLError as error:
            if _ABORTED in error.message:
                limit = GraphQLError(error.message.removeprefix("Syntax Error: "))
                return Prepared(None, (_coded(limit, LIMIT_EXCEEDED),))
            return Prepared(None, (_coded(error, "GRAPHQL_PARSE_FAILED"),))
        except RecursionError:
            return Prepared(None, (_coded(GraphQLError("The document is nested too deep."), LIMIT_EXCEEDED),))
        _unlink(document)
        try:
            return _Read(document, weigh(document, self._sizes), len(text))
        except GraphQLError as error:
            return Prepared(None, (_coded(error, LIMIT_EXCEEDED),))
        except RecursionError:
            return Prepared(None, (_coded(GraphQLError("The document is nested too deep."), LIMIT_EXCEEDED),))

    def _validated(self, read: "_Read") -> Prepared:
        document = read.document
        if errors := validate(self._schema, document, self._rules, max_errors=10, hide_suggestions=True):
            told = tuple(_coded(_of_the_document(error), "GRAPHQL_VALIDATION_FAILED") for error in errors)
            return Prepared(None, told)
        resume = resume_variables_of(document)
        return Prepared(document, (), resume, is_conditional(document), read.length, read.weighed.cost)


def _unlink(document: DocumentNode) -> None:
    """graphql-core's tokens name the one before and the one after. Without the one before they go with their document,
    and do not wait for the garbage collector: that comes late, and takes long.
    """
    token = document.loc.start_token if document.loc is not None else None
    while token is not None:
        token.prev = None
        token = token.next


class _Read(NamedTuple):
    """A document that keeps to the limits."""

    document: DocumentNode
    weighed: Weighed
    length: int


def _of_the_document(error: GraphQLError) -> GraphQLError:
    """Without what raised it: a literal that a scalar cannot take is the document's fault, not ours."""
    return GraphQLError(error.message, error.nodes)


def _coded(error: GraphQLError, code: str) -> GraphQLError:
    """Without the frames that it came through: these hold the document."""
    error.extensions = {**(error.extensions or {}), "code": code}
    return error.with_traceback(None)
