"""How operations arrive and answers leave: what is on the wire. `execution` runs them.

requests     reading a GraphQL request out of JSON
http         POST and GET, and which kind of answer a client wants
streams      subscriptions over HTTP: Server-Sent Events and multipart
websocket    the graphql-transport-ws protocol
frames       ready-made WebSocket frames, past uvicorn's encoder
"""
