"""neocog measured against its peers: `python -m benchmarks` at the root of the repository; see README.md here."""
