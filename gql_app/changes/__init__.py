"""What happened: tracked models, the change log, and the feed that tells it to subscribers.

tracking   how a model says what is recorded
net        the net changes of a transaction, savepoints considered
capture    flush → net changes → rows of the log, in the same transaction; the commit rings the doorbell
bulk       ORM bulk statements, recorded or refused
models     the log's tables
log        reading it: pages, cursors, pruning
topics     what a subscriber wants to hear of, and may hear of
doorbell   wakes every process after a commit (fast, never needed for correctness)
feed       tails the log once per process and routes its events to the watches
"""

from gql_app.changes import bulk, capture

__all__ = ["bulk", "capture"]
