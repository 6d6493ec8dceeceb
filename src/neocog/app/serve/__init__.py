"""A classifier behind HTTP, for clients that exist: `neocog serve MODEL…`."""
