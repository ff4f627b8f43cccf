"""What those who watch over the service look for: one line of JSON each, on a logger of its own, and counted.

Must hold: nothing in it is a secret. A name that nobody has may be a password in the wrong field, so it is left out.
"""

import json
import logging

from prometheus_client import Counter

logger = logging.getLogger("gql_app.security")
events = Counter("gql_app_security_events", "What the security log tells", ["event"])


def note(event: str, *, address: str = "", **about: str | int | None) -> None:
    """Write it down: `signed_in`, `sign_in_failed`, `role_changed`, … ``about`` has ids of people, not their names."""
    events.labels(event).inc()
    said = {"event": event, "address": address, **about}
    logger.info("%s", json.dumps({name: value for name, value in said.items() if value not in ("", None)}))
