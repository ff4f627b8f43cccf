"""It says something else each time."""
