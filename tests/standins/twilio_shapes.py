"""Twilio's JSON: what the REST API answers, as documented."""

from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from urllib.parse import urlencode

Json = dict[str, object]

API = "/2010-04-01"


@dataclass(frozen=True, slots=True)
class TwilioMessage:
    """One accepted message; `from_` is empty when a messaging service was named instead of a number."""

    sid: str
    to: str
    from_: str
    body: str
    status_callback: str | None
    date: datetime
    messaging_service_sid: str | None = None


def journal_line(message: TwilioMessage) -> Json:
    """A message as it stands in the journal: `from` without underscore, the date in ISO 8601."""
    fields = asdict(message)
    fields["from"] = fields.pop("from_")
    fields["date"] = message.date.isoformat()
    return fields


def message_json(account: str, message: TwilioMessage, status: str) -> Json:
    """The message resource; `date_sent` is null until the message has left the queue."""
    uri = f"{API}/Accounts/{account}/Messages/{message.sid}.json"
    when = format_datetime(message.date)
    return {
        "account_sid": account,
        "api_version": API.strip("/"),
        "body": message.body,
        "date_created": when,
        "date_sent": when if is_sent(status) else None,
        "date_updated": when,
        "direction": "outbound-api",
        "error_code": None,
        "error_message": None,
        "from": message.from_ or None,
        "messaging_service_sid": message.messaging_service_sid,
        "num_media": "0",
        "num_segments": "1",
        "price": None,
        "price_unit": "USD",
        "sid": message.sid,
        "status": status,
        "subresource_uris": {"media": uri.removesuffix(".json") + "/Media.json"},
        "to": message.to,
        "uri": uri,
    }


def account_json(account: str) -> Json:
    """The account resource, without the token that Twilio does put into it."""
    uri = f"{API}/Accounts/{account}.json"
    when = format_datetime(datetime(2020, 1, 1, tzinfo=UTC))
    return {
        "auth_token": None,
        "date_created": when,
        "date_updated": when,
        "friendly_name": "Stand-in",
        "owner_account_sid": account,
        "sid": account,
        "status": "active",
        "subresource_uris": {"messages": f"{API}/Accounts/{account}/Messages.json"},
        "type": "Full",
        "uri": uri,
    }


def error_json(code: int, message: str, status: int) -> Json:
    """The body of every refusal."""
    more = f"https://www.twilio.com/docs/errors/{code}"
    return {"code": code, "message": message, "more_info": more, "status": status}


def is_sent(status: str) -> bool:
    """Whether a message of this status has left Twilio's queue."""
    return status not in {"accepted", "queued", "sending"}


def matches(message: TwilioMessage, query: dict[str, str]) -> bool:
    """Whether the list filters let the message through; `DateSent>` and `DateSent<` include their limits."""
    return (
        query.get("To", message.to) == message.to
        and query.get("From", message.from_) == message.from_
        and _in_span(message.date, query.get("DateSent"), query.get("DateSent"))
        and _in_span(message.date, query.get("DateSent>"), query.get("DateSent<"))
    )


def _in_span(moment: datetime, since: str | None, until: str | None) -> bool:
    return (since is None or _span(since)[0] <= moment) and (until is None or moment <= _span(until)[1])


def _span(text: str) -> tuple[datetime, datetime]:
    """The first and the last moment that a filter's value stands for: a whole day, or one second."""
    if "T" not in text:
        day = date.fromisoformat(text)
        start = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return start, start + timedelta(days=1, microseconds=-1)
    moment = datetime.fromisoformat(text).astimezone(UTC)
    return moment, moment + timedelta(microseconds=999_999)


def page_json(path: str, query: dict[str, str], found: list[Json]) -> Json:
    """One page of a list, as asked for by PageSize (50 unless told, at most 1000) and Page."""
    size = min(int(query.get("PageSize", "50")), 1000)
    page = int(query.get("Page", "0"))
    shown = found[page * size : (page + 1) * size]

    def uri(number: int) -> str:
        token = {"PageToken": f"PA{number}"} if number else {}
        return f"{path}?{urlencode({**query, 'PageSize': size, 'Page': number, **token})}"

    return {
        "end": page * size + max(len(shown) - 1, 0),
        "first_page_uri": uri(0),
        "messages": shown,
        "next_page_uri": uri(page + 1) if len(found) > (page + 1) * size else None,
        "page": page,
        "page_size": size,
        "previous_page_uri": uri(page - 1) if page else None,
        "start": page * size,
        "uri": uri(page),
    }
