"""What operators can see of the deliveries."""

from prometheus_client import Counter

attempts = Counter("gql_app_delivery_attempts", "Attempts to send a message, by how they ended", ["channel", "outcome"])
