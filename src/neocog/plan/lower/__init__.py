"""Layers written down as work: what each does forward and backward, by one table of rules."""
