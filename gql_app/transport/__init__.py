"""How operations arrive and answers leave: what is on the wire. `execution` runs them.

connections  how many connections there may be, and which still owe the head of a request
edge         what a connection may send over HTTP before it is closed
door         by which name and from which pages we may be called; the usual headers
requests     reading a GraphQL request out of JSON
http         POST and GET, and which kind of answer a client wants
streams      subscriptions over HTTP: Server-Sent Events and multipart
endings      how a stream ends, on each of them
websocket    the graphql-transport-ws protocol
socket       one WebSocket and the operations that it has running
protocol     the names, codes and messages of that protocol
positions    tells the client of a WebSocket where it stands
frames       ready-made WebSocket frames, past uvicorn's encoder, and how many a client may send
"""
