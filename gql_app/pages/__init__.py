"""The pages people see in a browser: the start page, GraphiQL, the mailbox, and the files they load.

Nothing here asks the network for anything but its own origin; the Content-Security-Policy in `site` holds it
to that. GraphiQL itself is built from `frontend/` into `static/graphiql/`.
"""
