"""Packages that may be missing."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from neocog.errors import NeocogError


def install(extra: str) -> str:
    """Return the command that installs one of neocog's extras, as hints say it."""
    return f"pip install 'neocog[{extra}]'"


def require(module: str, extra: str, user: str) -> ModuleType:
    """Return a module of a package that is one of neocog's extras.

    Arguments:
        module: its name.
        extra: what brings it: pip install 'neocog[extra]'.
        user: what needs it, for the message.

    Raises:
        NeocogError: it is not installed, or cannot be loaded.
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise NeocogError(
            f"{user} needs the package {module.partition('.')[0]}, which cannot be loaded: {error}",
            hint=install(extra),
        ) from None
