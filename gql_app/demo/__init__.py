"""The demo: fuel requests and projects, the examples of verticals."""
