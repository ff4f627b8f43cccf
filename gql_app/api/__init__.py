"""What the verticals write their part of the schema with.

context      what a resolver is handed
ids          global ids
nodes        what `node(id:)` can find
connections  Relay connections by keyset
payloads     what a mutation returns: its result or its errors
"""
