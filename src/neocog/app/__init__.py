"""The faces that a person meets: the command line and, later, the report and the page."""
