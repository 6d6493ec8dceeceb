"""A run folder, read for its report: also one that an older version wrote, or whose data has moved."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from neocog.app.report.trained import Epoch
from neocog.errors import FormatError
from neocog.train.runfolder import RunFolder, read_config


def read_run(folder: RunFolder, missing: dict[str, str]) -> tuple[Mapping[str, Any], list[Epoch]]:
    """Return what config.json and history.csv say; what is not there, or cannot be read, is noted in `missing`."""
    config: Mapping[str, Any] = {}
    epochs: list[Epoch] = []
    try:
        config = read_config(folder.config)
    except FormatError as error:
        missing["config"] = error.message
    try:
        epochs = list(folder.read_history())
    except FormatError as error:
        missing["history"] = error.message
    if not epochs and "history" not in missing:
        missing["history"] = ""
    if not folder.starts.is_file():
        missing["starts"] = ""
    return config, epochs
