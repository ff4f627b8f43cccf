"""What Twilio can do to a request for a message, and how each of it looks on the wire."""

import asyncio
import socket
import struct
from enum import Enum, auto

from aiohttp import web

from tests.standins.twilio_shapes import error_json


class TwilioFault(Enum):
    """What happens to one POST. Only OK, EMPTY_201 and those that say "after" accept the message."""

    OK = auto()
    RATE_LIMITED_RETRY_AFTER = auto()
    RATE_LIMITED = auto()
    ERROR_500 = auto()
    ERROR_503 = auto()
    UNAUTHORIZED = auto()
    INVALID_NUMBER_21211 = auto()
    OPTED_OUT_21610 = auto()
    NOT_MOBILE_21614 = auto()
    OUR_NUMBER_21212 = auto()
    HANG_BEFORE = auto()
    HANG_AFTER = auto()
    RESET_BEFORE = auto()
    RESET_AFTER_ACCEPT = auto()
    EMPTY_201 = auto()
    HTML_200 = auto()
    HTML_408 = auto()
    HTML_502 = auto()


RETRY_AFTER = 7
HTML = "<html><body><h1>Something in between</h1></body></html>"
REFUSALS = {
    TwilioFault.RATE_LIMITED_RETRY_AFTER: (20429, "Too Many Requests", 429),
    TwilioFault.RATE_LIMITED: (20429, "Too Many Requests", 429),
    TwilioFault.ERROR_500: (20500, "An internal server error has occurred", 500),
    TwilioFault.ERROR_503: (20503, "Service Unavailable", 503),
    TwilioFault.UNAUTHORIZED: (20003, "Authenticate", 401),
    TwilioFault.INVALID_NUMBER_21211: (21211, "Invalid 'To' Phone Number: {to}", 400),
    TwilioFault.OPTED_OUT_21610: (21610, "Attempt to send to unsubscribed recipient", 400),
    TwilioFault.NOT_MOBILE_21614: (21614, "'To' number is not a valid mobile number: {to}", 400),
    TwilioFault.OUR_NUMBER_21212: (21212, "Invalid From Number (caller ID)", 400),
}
IN_BETWEEN = {TwilioFault.HTML_200: 200, TwilioFault.HTML_408: 408, TwilioFault.HTML_502: 502}
SILENT_BEFORE = {TwilioFault.HANG_BEFORE, TwilioFault.RESET_BEFORE}
SILENT_AFTER = {TwilioFault.HANG_AFTER, TwilioFault.RESET_AFTER_ACCEPT}
RESETS = {TwilioFault.RESET_BEFORE, TwilioFault.RESET_AFTER_ACCEPT}


def refusal(code: int, message: str, status: int) -> web.Response:
    """Twilio's error JSON with its HTTP status."""
    return web.json_response(error_json(code, message, status), status=status)


def refusal_of(fault: TwilioFault, to: str) -> web.Response | None:
    """The answer of a fault that answers without accepting, None for any other fault."""
    if fault in IN_BETWEEN:
        return web.Response(text=HTML, content_type="text/html", status=IN_BETWEEN[fault])
    if fault not in REFUSALS:
        return None
    code, message, status = REFUSALS[fault]
    response = refusal(code, message.format(to=to), status)
    if fault is TwilioFault.RATE_LIMITED_RETRY_AFTER:
        response.headers["Retry-After"] = str(RETRY_AFTER)
    return response


def reset(transport: asyncio.BaseTransport | None) -> None:
    """Close a connection by TCP reset: what was not read yet is lost at both ends."""
    if isinstance(transport, asyncio.Transport):
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()
