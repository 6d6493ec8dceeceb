"""The flags of `neocog train` and `neocog lr-find`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from neocog.model.calibration import Reject
from neocog.model.views import Views


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of `neocog train`, as given; None: not given. `settings` holds those of TrainingSettings."""

    model: str
    img_size: tuple[int, int] | None
    channels: str | None
    lr: float | None
    weight_decay: float | None
    optimizer: str | None
    momentum: float | None
    lookahead: int | None
    schedule: str | None
    warmup: float | None
    label_smoothing: float | None
    loss: str
    class_weights: str | None
    threads: int | None
    workers: int | None
    engine: str
    views: Views | None
    output: Path | None
    overwrite: bool
    quiet: bool
    strict: bool
    settings: dict[str, Any]
    log: tuple[str, ...] = ()
    reject: Reject | None = None
    recipe: str | None = None
    pretrained: str | None = "none"
    head_only: bool = False
    batch_norm: str | None = None
    fast_reduce: bool = False
