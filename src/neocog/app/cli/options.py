"""What the flags of all verbs share: the kinds of value they take, and the flags that several have."""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

import click

from neocog.app.cli.errors import LONGEST, CommandLineError, nearest
from neocog.errors import SettingError
from neocog.reading import expanded

if TYPE_CHECKING:  # click 8.1 has no [...] at run time
    _WholeType = click.ParamType[int]
    _RealType = click.ParamType[float]
    _SizeType = click.ParamType[tuple[int, int]]
    _LocationType = click.ParamType[str]
    _NamesType = click.ParamType[tuple[str, ...]]
    _WordType = click.Choice[str]
else:
    _WholeType = _RealType = _SizeType = _LocationType = _NamesType = click.ParamType
    _WordType = click.Choice

Function = TypeVar("Function", bound=Callable[..., Any])

ENGINES = ("native", "reference", "torch")
VIEWS = ("plain", "flip", "flip-shift")  # those of model/views.py, which loads NumPy: help texts do without
PRECISIONS = ("float32", "bfloat16", "int8", "auto")  # those of engines/precision.py
TARGETS = (  # those of standalone/code.py, likewise
    *("native", "x86-64", "x86-64-sse2", "x86-64-avx2", "x86-64-avx512", "aarch64", "aarch64-dotprod", "armv7a"),
    *("cortex-m4", "cortex-m7", "cortex-m33", "cortex-m55", "rv64", "rv64v", "rv32", "rv32v", "wasm32"),
)
MAX_SIDE = 4096  # pixels; larger images of a classifier are a slip of the keyboard
MAX_THREADS = 1024
UNITS = {"s": 1 / 60, "m": 1.0, "h": 60.0}  # minutes


class WholeOption(_WholeType):
    """A whole number from `least` to `most`."""

    name = "N"

    def __init__(self, least: int, most: int = 2**31 - 1) -> None:
        self.least = least
        self.most = most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        try:
            number = int(value)
        except (TypeError, ValueError):
            self.fail(f"must be a whole number of {self.least} or more, got {value!r}", param, ctx)
        if number < self.least:
            self.fail(f"must be {self.least} or more, got {number}", param, ctx)
        if number > self.most:
            self.fail(f"must be {self.most} or less, got {number}", param, ctx)
        return number


class RealOption(_RealType):
    """A finite number of at least `low` (more than it, where `above`), and below `high`."""

    name = "X"

    def __init__(self, low: float = 0.0, high: float = math.inf, *, above: bool = False) -> None:
        self.low = low
        self.high = high
        self.above = above

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        need = f"above {self.low:g}" if self.above else f"{self.low:g} or more"
        if math.isfinite(self.high):
            need += f" and below {self.high:g}"
        try:
            number = float(value)
        except (TypeError, ValueError):
            self.fail(f"must be a number {need}, got {value!r}", param, ctx)
        inside = self.low < number if self.above else self.low <= number
        if not (math.isfinite(number) and inside and number < self.high):
            self.fail(f"must be {need}, got {value}", param, ctx)
        return number


class DurationOption(_RealType):
    """A time, such as 10m, 90s or 1h, or a number of minutes; becomes minutes."""

    name = "TIME"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        need = "must be a time above 0, such as 10m (or 10), 90s or 1h"
        text = str(value).strip().lower()
        unit = UNITS.get(text[-1:])
        try:
            minutes = float(text if unit is None else text[:-1]) * (unit or 1.0)
        except ValueError:
            self.fail(f"{need}, got {value!r}", param, ctx)
        if not 0.0 < minutes < math.inf:
            self.fail(f"{need}, got {value}", param, ctx)
        return minutes


class SizeOption(_SizeType):
    """Pixels of an image: N for a square, or HxW; becomes (height, width)."""

    name = "N|HxW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value
        sides = str(value).lower().replace(",", "x").replace("×", "x").split("x")
        need = f"must be N for a square or HxW, from 1 to {MAX_SIDE} pixels a side"
        if len(sides) > 2 or not all(side.strip().isascii() and side.strip().isdigit() for side in sides):
            self.fail(f"{need}, got {value!r}", param, ctx)
        height, width = int(sides[0]), int(sides[-1])
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            self.fail(f"{need}, got {value}", param, ctx)
        return height, width


def _home(path: str) -> str:
    """Return a path with "~" or "~user" in front as a home folder, unless there is a file or folder of that name.

    A shell does that, but not in data=~/photos, in --output=~/runs, or within quotes.
    """
    first = path.partition("/")[0]
    if not path.startswith("~") or (first != "~" and os.path.lexists(first)):
        return path
    return str(expanded(path))


class Location(_LocationType):
    """A path, or another name of data, that says something: Path("") would be the current folder.

    A "~" in front is the home folder.
    """

    name = "LOCATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not str(value):
            self.fail("must not be empty", param, ctx)
        return _home(str(value))


class Place(click.Path):
    """The path of a file or folder, not empty; a "~" in front is the home folder."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if not str(value):
            self.fail("must not be empty", param, ctx)
        return super().convert(_home(str(value)), param, ctx)


class Names(_NamesType):
    """Names with commas between them, such as 0,3.*; becomes a tuple."""

    name = "NAMES"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(name.strip() for name in str(value).split(","))
        if not all(names):
            self.fail(f"must be names with commas between them, got {value!r}", param, ctx)
        return names


class TransformsOption(_LocationType):
    """Transforms of images, such as flip,crop=4; stays the text that it is."""

    name = "LIST"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from neocog.data.augment.words import parsed  # here, since most uses name none

        try:
            parsed(str(value))
        except SettingError as error:
            own = error.message.startswith("augment")  # else it begins with the name of a transform
            raise CommandLineError(f"--{'' if own else 'augment: '}{error.message}", hint=error.hint, ctx=ctx) from None
        return str(value)


class WordOption(_WordType):
    """One of some words, with or without their - and _; a near miss gets a suggestion.

    Arguments:
        words: which. listing: a command that lists them, where they are too many for a message.
        refused: words that are understood, and that the command refuses with a reason of its own: help does not offer
            them.
    """

    def __init__(self, words: Sequence[str], listing: str | None = None, *, refused: Sequence[str] = ()) -> None:
        super().__init__(words)
        self.listing = listing
        self.refused = refused

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        words = [str(choice) for choice in self.choices]
        for word in (*words, *self.refused):
            if _joined(word) == _joined(str(value)):
                return word
        guess = self._meant(str(value), words)
        name = param.opts[0] if isinstance(param, click.Option) else "NAME"
        known = " or ".join([*filter(None, [", ".join(words[:-1])]), words[-1]])
        if self.listing is not None:
            known = "the name of a known network"
        hints = [f"did you mean {guess}?"] if guess else []
        hints += [f"{self.listing} lists them"] if self.listing is not None else []
        raise CommandLineError(f"{name} must be {known}, got {value!r}", hint="; ".join(hints) or None, ctx=ctx)

    def _meant(self, value: str, words: Sequence[str]) -> str | None:
        return nearest(value, words)


class PrecisionOption(WordOption):
    """What to compute with. Who writes bf16 means bfloat16, and who writes float64 means nothing that there is."""

    def _meant(self, value: str, words: Sequence[str]) -> str | None:
        value = value.lower()
        bits = re.sub(r"\D", "", value)
        alike = [word for word in words if bits in ("", re.sub(r"\D", "", word))]
        short = re.compile(".*".join(map(re.escape, value[:LONGEST])) + ".*")
        return nearest(value, alike) or next((word for word in alike if value and short.fullmatch(word)), None)


class DeviceOption(_LocationType):
    """A device as PyTorch names it, such as cpu, cuda and cuda:1; a number is that of a GPU."""

    name = "DEVICE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        device = str(value).strip().lower()
        device = f"cuda:{int(device)}" if device.isascii() and device.isdigit() else device
        if re.fullmatch(r"[a-z]+(:[0-9]{1,3})?", device) is None:
            raise CommandLineError(f"--device must be cpu, cuda, or one GPU such as cuda:1, got {value!r}", ctx=ctx)
        return device


def _joined(word: str) -> str:
    return word.lower().replace("-", "").replace("_", "")


threads = click.option(
    "--threads",
    type=WholeOption(1, MAX_THREADS),
    help="Number of compute threads.  [default: as many as this process may use]",
)
_engine = click.option(
    "--engine", type=WordOption(ENGINES), default="native", show_default=True, help="Compute engine."
)
_device = click.option(
    "--device",
    type=DeviceOption(),
    help="Where the torch engine computes: cpu, cuda (a GPU; under torchrun each process has its own), cuda:1.  "
    "[default: cpu]",
)


def engine(command: Function) -> Function:
    """Add --engine and --device to a command, which gets both as one name: torch:cuda."""

    @functools.wraps(command)
    def with_engine(*args: Any, engine: str, device: str | None, **rest: Any) -> Any:
        return command(*args, engine=_engine_on(engine, device), **rest)

    return cast(Function, _engine(_device(with_engine)))


def _engine_on(engine: str, device: str | None) -> str:
    """Return the name of an engine on a device; one that is not there is told now, before anything is read."""
    if device is None or device == "cpu":
        return engine
    if engine != "torch":
        raise CommandLineError(
            f"--device {device} is for the torch engine, and this is the {engine} one",
            hint=f"write --engine torch --device {device}",
        )
    from neocog.engines import get_engine  # here, since it loads PyTorch

    get_engine(f"torch:{device}")
    return f"torch:{device}"


precision = click.option(
    "--precision",
    type=PrecisionOption(PRECISIONS),
    default="float32",
    show_default=True,
    help="What to compute with: float32; bfloat16, for processors that multiply tiles of it (AMX), and slower on "
    "others; auto, bfloat16 on those processors; int8, of a model that neocog quantise prepared.",
)
batch_size = click.option(
    "--batch-size", "-b", type=WholeOption(1, 65536), default=64, show_default=True, help="Images per batch."
)
workers = click.option(
    "--workers",
    "-j",
    type=WholeOption(0, MAX_THREADS),
    help="Number of threads that decode images.  [default: one for each core, at most 8]",
)
views = click.option(
    "--views",
    type=WordOption(VIEWS),
    help="How to look at each image: plain, once; flip, at its mirror image too; flip-shift, six times; the answer is "
    "the mean of the logits.  [default: as the model was saved]",
)
as_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")
quiet = click.option("--quiet", "-q", is_flag=True, help="Hide progress.")
