"""A GraphQL backend in which a committed change reaches people.

The way of a change, and the rooms that it passes:

    transport/      an operation arrives over HTTP, SSE or a WebSocket
    accounts/ demo/ …
                    its resolver runs a unit of work: a plain function that changes SQLAlchemy models
    audiences/      the model has said who may see it
    changes/        at the flush the net changes are noted; right before the commit they are written into the change
                    log, in the same transaction
    deliveries/     … and so are the SMS and mails that the models' rules say are owed
    changes/        the commit rings the doorbell; the feed of every process reads the log on and hands each event to
                    the subscriptions that want it and may see it
    deliveries/     a worker claims what is owed, sends it, and writes down what came of it

Arrows point one way: settings, errors ← db ← audiences ← changes ← deliveries ← verticals ← schema ← app.
"""
