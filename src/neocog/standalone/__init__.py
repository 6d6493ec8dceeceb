"""Networks as code that needs nothing: no neocog, no Python, no library, no memory but what its caller lends."""
