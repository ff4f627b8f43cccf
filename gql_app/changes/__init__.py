"""What happened: tracked models, the change log, and the feed that tells it to subscribers.

tracking   how a model says what is recorded
mapping    what is refused when such a model is mapped
codec      how a value is written into the log, and read from it
stored     what the database gives back of a value
net        the net changes of a transaction, savepoints considered
capture    net changes → rows of the log, in the same transaction; the commit rings the doorbell
besides    what passes by the session: writes of others, and what the database does because of its statements
flushes    what the unit of work changes
bulk       what ORM bulk statements change
audience   who could see an entity before a change, and who can after it
subjects   the objects of changed entities, for the rules
models     the log's tables
baseline   since when something is tracked
log        reading it: pages, cursors, pruning
cursors    where somebody stands in it, as clients keep it
states     the present state as events
topics     what a subscriber wants to hear of
scope      what she may hear of, by the keys that she holds
pages      pages of the log for both
doorbell   wakes every process after a commit (fast, never needed for correctness)
broadcast  the doorbell's line to other processes, over Redis or PostgreSQL; it reconnects
sequencer  gives positions in the order of commits, on PostgreSQL
feed       tails the log once per process
routing    who wants an event
watch      one subscriber's position, live or catching up
history    pages for those who catch up
"""

from gql_app.changes import bulk, capture, flushes, mapping

__all__ = ["bulk", "capture", "flushes", "mapping"]
