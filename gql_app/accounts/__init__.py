"""People: accounts, passwords, sessions and roles."""
