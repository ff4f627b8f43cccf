"""What the product is held against; each module is an ASGI application for uvicorn, `node/` has servers for Node.

- `naive`: Strawberry, Starlette, SQLAlchemy asyncio and broadcaster, each used as its documentation shows it.
- `raw`: the same SQL as JSON over Starlette without GraphQL, and one ready-made text to every WebSocket.

None of them knows users' tokens, a change log or deliveries: the product does that work on top.
"""
