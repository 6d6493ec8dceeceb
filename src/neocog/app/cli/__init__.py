"""The command line, one file a verb. `main.py` is the entry point and imports a verb only when it is used."""
