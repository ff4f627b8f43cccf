"""Status callbacks, signed as Twilio signs them."""

import aiohttp
from twilio.request_validator import RequestValidator

SIGNATURE = "X-Twilio-Signature"


def status_form(sid: str, status: str, *, error_code: int | None = None) -> dict[str, str]:
    """The fields of a status callback."""
    form = {
        "AccountSid": "AC" + "0" * 32,
        "ApiVersion": "2010-04-01",
        "From": "+15005550006",
        "MessageSid": sid,
        "MessageStatus": status,
        "SmsSid": sid,
        "SmsStatus": status,
        "To": "+15005550010",
    }
    return form if error_code is None else {**form, "ErrorCode": str(error_code)}


def signature(url: str, form: dict[str, str], auth_token: str) -> str:
    """Twilio's signature over the URL it believes to call and the form."""
    return str(RequestValidator(auth_token).compute_signature(url, form))


async def send_status(
    url: str,
    auth_token: str,
    sid: str,
    status: str,
    *,
    forge: bool = False,
    unsigned: bool = False,
    signed_url: str | None = None,
    error_code: int | None = None,
) -> int:
    """POST a status callback to `url` and return the HTTP status of the answer.

    `forge` signs with another token, `unsigned` sends no signature at all. `signed_url` is the public
    URL when the receiver stands behind a proxy; the signature is over `url` otherwise.
    """
    form = status_form(sid, status, error_code=error_code)
    key = "not-" + auth_token if forge else auth_token
    headers = {} if unsigned else {SIGNATURE: signature(signed_url or url, form, key)}
    async with aiohttp.ClientSession() as session, session.post(url, data=form, headers=headers) as response:
        await response.read()
        return response.status
