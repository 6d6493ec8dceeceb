"""A repository on a hub by its name, as users write it: `owner/name`, and behind "@" a revision."""

from __future__ import annotations

import re
from dataclasses import dataclass

from neocog.errors import SettingError
from neocog.nn.limits import shown

PREFIX = "hub:"
"""In front of a name where a file is meant otherwise: `neocog predict hub:owner/name a.jpg`."""

MAIN = "main"
"""The revision that is meant where none is said."""

_ADDRESS = re.compile(r"https?://[^/]+/")
_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9_-])?")
_REVISION = re.compile(r"[A-Za-z0-9][A-Za-z0-9._/-]{0,254}")


@dataclass(frozen=True, slots=True)
class Repository:
    """A repository of a hub, at a revision.

    Arguments:
        name: `owner/name`.
        revision: a branch, a tag or a commit.

    >>> Repository.parse("hub:timm/resnet18.a1_in1k@v2")
    Repository(name='timm/resnet18.a1_in1k', revision='v2')
    >>> str(Repository.parse("https://huggingface.co/timm/resnet18.a1_in1k"))
    'timm/resnet18.a1_in1k'
    """

    name: str
    revision: str = MAIN

    @classmethod
    def parse(cls, text: str) -> Repository:
        """Return the repository that a text names: `owner/name`, `hub:owner/name@revision`, or a repository's address.

        Raises:
            SettingError: it names none.
        """
        if not isinstance(text, str):
            raise SettingError(f"a model on a hub must be a text such as owner/name, got {shown(text)}")
        name = _ADDRESS.sub("", text.strip().removeprefix(PREFIX), count=1).rstrip("/")
        repository, at, revision = name.partition("@")
        parts = repository.split("/")
        if len(parts) != 2 or not all(_PART.fullmatch(part) for part in parts) or "--" in repository:
            hint = "as in timm/resnet18.a1_in1k"
            if len(parts) == 1 and _PART.fullmatch(repository):
                hint = f"whose is it? write OWNER/{repository}, as in timm/resnet18.a1_in1k"
            raise SettingError(f"a model on a hub is called owner/name, got {shown(text)}", hint=hint)
        if at and not _REVISION.fullmatch(revision):
            raise SettingError(f"behind @ must stand a branch, a tag or a commit, got {shown(text)}")
        return cls(repository, revision if at else MAIN)

    def __str__(self) -> str:
        return self.name if self.revision == MAIN else f"{self.name}@{self.revision}"


def names_a_hub(text: str) -> bool:
    """Tell whether a name says by itself that it means a hub: by its prefix."""
    return text.startswith(PREFIX)


def names_a_repository(text: str) -> bool:
    """Tell whether a name, which may be a file's too, could mean a model on a hub."""
    try:
        Repository.parse(text)
    except SettingError:
        return False
    return True
