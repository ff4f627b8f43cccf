"""Projects: a second kind of entity with a status, and comments on it."""
