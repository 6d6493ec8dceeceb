"""Where a network's weights came from before anybody trained them here: whose they are, and on what terms."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

from neocog.errors import FormatError, SettingError
from neocog.model.fields import check_keys
from neocog.model.json_values import shown_value
from neocog.nn.limits import shown

MOST_TEXT = 1000
"""Characters that each field may have."""

_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where weights came from. It is kept in the model file, and stays with a network that is trained further.

    Arguments:
        source: where they are to be had: an address, `owner/name` on a hub, a package, the name of a file.
        licence: the terms, as an SPDX identifier where there is one ("Apache-2.0"), or in words; None: not known.
        sha256: of the file that they came in, 64 hexadecimal digits; None: not known.
        about: what they are, for people: the network, what it was trained on.

    Raises:
        SettingError: a field is no text, or too long.

    >>> Origin("timm/resnet18.a1_in1k", "Apache-2.0").licence
    'Apache-2.0'
    """

    source: str
    licence: str | None = None
    sha256: str | None = None
    about: str | None = None

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if value is None and name != "source":
                continue
            if not isinstance(value, str) or not 0 < len(value) <= MOST_TEXT:
                raise SettingError(f"origin.{name} must be a text of 1 to {MOST_TEXT:,} characters, got {shown(value)}")
            if name == "sha256" and not _DIGEST.fullmatch(value):
                raise SettingError(f"origin.sha256 must be 64 hexadecimal digits, got {shown(value)}")

    def to_json(self) -> dict[str, str]:
        """Return it as JSON values; what is not known is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, data: object) -> Origin:
        """Return what `to_json` gave as an Origin.

        Raises:
            FormatError: it is no such object.
        """
        entry: Mapping[str, object] = check_keys(
            "origin", data, ("source",), tuple(entry.name for entry in fields(cls) if entry.name != "source")
        )
        for name, value in entry.items():
            if not isinstance(value, str):
                raise FormatError(f"origin.{name} must be a string, got {shown_value(value)}")
        return cls(**{name: str(value) for name, value in entry.items()})
