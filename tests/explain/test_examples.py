"""The examples in the docstrings run as they stand."""

import doctest
import importlib
import pkgutil

import pytest

import neocog.explain

MODULES = [module.name for module in pkgutil.iter_modules(neocog.explain.__path__, "neocog.explain.")]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name: str) -> None:
    assert doctest.testmod(importlib.import_module(name)).failed == 0
