"""Who is told when a fuel request is decided."""

from collections.abc import Iterator

from gql_app import Change, Owed, Templates, email, on_change, sms
from gql_app.accounts import User
from gql_app.demo.fuel_requests.models import FuelRequest

TEMPLATES = Templates("gql_app.demo.fuel_requests")


@on_change(FuelRequest.status, propagate=True)
def tell_requester(change: Change[FuelRequest]) -> Iterator[Owed]:
    request, status = change.subject, change.new.label
    requester = change.session.get_one(User, request.requester_id)
    yield sms(requester, TEMPLATES, "decided", status=status)
    yield email(
        requester,
        TEMPLATES,
        "decided",
        username=requester.username,
        status=status,
        litres=request.litres,
        note=request.decision_note,
    )
