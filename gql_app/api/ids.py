"""Global ids: a kind of entity and a public id, opaque to clients."""

import base64
import binascii
from uuid import UUID

from gql_app.errors import Invalid


def encode_id(kind: str, public_id: UUID) -> str:
    # No text of letters, digits and a colon has the two characters in which URL-safe Base64 differs.
    return binascii.b2a_base64(f"{kind}:{public_id.int:032x}".encode(), newline=False).decode().rstrip("=")


def decode_id(global_id: str) -> tuple[str, UUID] | None:
    """The kind and the public id, or None when this was never an id of ours."""
    try:
        padded = global_id + "=" * (-len(global_id) % 4)
        kind, _, rest = base64.b64decode(padded, altchars=b"-_", validate=True).decode().partition(":")
        public_id = UUID(hex=rest)
    except (ValueError, binascii.Error):
        return None
    return (kind, public_id) if encode_id(kind, public_id) == global_id.rstrip("=") else None


def id_of(kind: str, global_id: str, *, field: str = "id") -> UUID:
    """The public id in a global id of this kind.

    Raises:
        Invalid: not an id, or one of another kind.
    """
    found = decode_id(global_id)
    if found is None:
        raise Invalid("That is not an id.", field=field)
    if found[0] != kind:
        raise Invalid(f"That is the id of something else, not of a {kind}.", field=field)
    return found[1]
