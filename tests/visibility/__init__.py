"""Who sees what, as a client sees it."""
