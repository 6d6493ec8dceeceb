"""The examples in the docstrings run as they stand."""

import doctest
import importlib
import pkgutil

import pytest

import neocog.nn
import neocog.reference

MODULES = [
    module.name
    for package in (neocog.nn, neocog.reference)
    for module in pkgutil.iter_modules(package.__path__, package.__name__ + ".")
]


@pytest.mark.parametrize("name", MODULES)
def test_docstring_examples(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0
