"""Weights from PyTorch and to it, without PyTorch: state dicts and files of them, and networks as source files."""
