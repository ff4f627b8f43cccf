"""A GraphQL backend in which a committed change reaches people.

The way of a change, and the rooms that it passes:

    transport/      an operation arrives over HTTP, SSE or a WebSocket
    execution/      its document is checked and executed
    accounts/ demo/ …
                    its resolver runs a unit of work: a plain function that changes SQLAlchemy models
    idempotency/    … once, however often it was sent under the same key
    audiences/      the model has said who may see it
    changes/        at the flush the net changes are noted; right before the commit they are written into the change
                    log, in the same transaction
    deliveries/     … and so are the SMS and mails that the models' rules say are owed
    changes/        the commit rings the doorbell; the feed of every process reads the log on and hands each event to
                    the subscriptions that want it and may see it
    outside/        where it is switched on, what others write to the same rows reaches the log, too
    deliveries/     a worker claims what is owed, sends it, and writes down what came of it

Arrows point one way: settings, errors ← db ← audiences ← changes ← api, execution ← deliveries ← verticals ← schema,
transport ← app.

What is named here, in `errors`, in `accounts` and in `testing` is the public API; the rest may change at any time.
"""

from gql_app.api.authentication import Authentication, Credentials
from gql_app.api.connections import After, Before, Connection, First, Last, OrderDirection, Page, PageArgs, load_page
from gql_app.api.context import Context, Info
from gql_app.api.ids import encode_id, id_of
from gql_app.api.keyset import Order
from gql_app.api.lookahead import mentioned
from gql_app.api.lookups import Lookup, as_values, of_values
from gql_app.api.nodes import Node, as_it_is_now
from gql_app.api.payloads import UserError, faults_as
from gql_app.app import App
from gql_app.application import Application
from gql_app.asgi import create_app
from gql_app.audiences import Audience, Grant, grant, key, owner, parent, person, role, rows
from gql_app.audiences.conditions import Holder, seen, visible
from gql_app.changes.capture import act_as
from gql_app.changes.models import ChangeEvent
from gql_app.changes.topics import Topic
from gql_app.changes.tracking import Tracked, tracked, value_of
from gql_app.db import Base, BigId, Database, Timestamped, UtcDateTime
from gql_app.declared import ANYBODY, Declared, declared, entity, mutation, related, shows
from gql_app.deliveries.graphql import DELIVERIES
from gql_app.deliveries.messages import Addressee, Owed, email, message, sms
from gql_app.deliveries.models import Channel, Fault
from gql_app.deliveries.rules import Change, on_audience, on_change, on_create, on_delete
from gql_app.deliveries.senders import (
    Ambiguous,
    CredentialsRefused,
    Outgoing,
    PermanentFailure,
    Receipt,
    Sender,
    TransientFailure,
)
from gql_app.deliveries.templates import Templates
from gql_app.settings import Secret, Settings
from gql_app.texts import clean_text
from gql_app.vertical import Process, Vertical
from gql_app.viewer import Viewer
from gql_app.visibility.graphql import VISIBILITY

__all__ = [
    "ANYBODY",
    "DELIVERIES",
    "VISIBILITY",
    "Addressee",
    "After",
    "Ambiguous",
    "App",
    "Application",
    "Audience",
    "Authentication",
    "Base",
    "Before",
    "BigId",
    "Change",
    "ChangeEvent",
    "Channel",
    "Connection",
    "Context",
    "Credentials",
    "CredentialsRefused",
    "Database",
    "Declared",
    "Fault",
    "First",
    "Grant",
    "Holder",
    "Info",
    "Last",
    "Lookup",
    "Node",
    "Order",
    "OrderDirection",
    "Outgoing",
    "Owed",
    "Page",
    "PageArgs",
    "PermanentFailure",
    "Process",
    "Receipt",
    "Secret",
    "Sender",
    "Settings",
    "Templates",
    "Timestamped",
    "Topic",
    "Tracked",
    "TransientFailure",
    "UserError",
    "UtcDateTime",
    "Vertical",
    "Viewer",
    "act_as",
    "as_it_is_now",
    "as_values",
    "clean_text",
    "create_app",
    "declared",
    "email",
    "encode_id",
    "entity",
    "faults_as",
    "grant",
    "id_of",
    "key",
    "load_page",
    "mentioned",
    "message",
    "mutation",
    "of_values",
    "on_audience",
    "on_change",
    "on_create",
    "on_delete",
    "owner",
    "parent",
    "person",
    "related",
    "role",
    "rows",
    "seen",
    "shows",
    "sms",
    "tracked",
    "value_of",
    "visible",
]
