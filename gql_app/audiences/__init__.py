"""Who may see an entity: its model says so once, as keys (`user:7`, `role:APPROVER`, `organisation:5`, …).

declaration   how a model says it
kinds         what the declaration of one model comes to
registry      what all of them come to
conditions    the same as SQL: which rows somebody may see
"""

from gql_app.audiences.declaration import Audience, Grant, grant, key, owner, parent, person, role, rows

__all__ = ["Audience", "Grant", "grant", "key", "owner", "parent", "person", "role", "rows"]
