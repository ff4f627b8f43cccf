"""The same, as a later version words it."""
