"""How operations arrive and answers leave. The schema says what; this room knows only documents and bytes.

documents    parsing and validating, with limits, cached
limits       what a document may cost
engine       runs operations, and begins subscriptions
plans        how to read selections, found out once per document
executor     reads them so
subscription what comes of the events of one subscription
sharing      one execution for all subscriptions that get the same answer
answers      what is answered; masking what is nobody's business
requests     reading a GraphQL request out of JSON
http         POST and GET, and which kind of answer a client wants
streams      subscriptions over HTTP: Server-Sent Events and multipart
websocket    the graphql-transport-ws protocol
frames       ready-made WebSocket frames, past uvicorn's encoder
"""
