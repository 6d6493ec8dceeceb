"""The explaining page: its questions answered, served, saved, or shown in a notebook. docs/page.md is the protocol."""
