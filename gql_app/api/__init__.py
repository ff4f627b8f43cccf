"""What the verticals write their part of the schema with.

context      what a resolver is handed
ids          global ids
nodes        what `node(id:)` can find
streams      what a subscription follows
connections  Relay connections
keyset       their cursors
lookups      rows as GraphQL objects; rows by their keys, in one prepared statement
lookahead    what is selected below a field
payloads     what a mutation returns: its result or its errors
once         what mutations written by hand need to take an idempotency key
"""
