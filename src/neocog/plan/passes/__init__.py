"""Decisions about a whole network, each a pass from values to values."""
