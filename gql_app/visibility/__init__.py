"""What comes into the viewer's sight, and what leaves it."""
