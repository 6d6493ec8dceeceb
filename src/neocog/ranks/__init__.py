"""Processes that train one network together: what they need of each other, and sums that do not hang on their number."""
