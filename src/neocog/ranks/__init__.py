"""Processes that train one network together: what they need of each other, and sums that they all get alike."""
