"""A run folder: what a training leaves behind, each file whole at every moment.

model.safetensors   the model after its best epoch
last.safetensors    the model after its last epoch, and what training needs to go on
history.csv         a line an epoch
filters.safetensors the first filters, epoch by epoch
features-*.safetensors what the body of a fine-tuned network gives for the images, so that it is computed once
config.json         what the training was started with
split.csv           which image went to which part
starts.json         with which command it began, and each time it went on; written by the faces
report.html         how good the model is, and where it is not; written by the faces

One training at a time writes to a folder: it holds a lock on it, which vanishes with the process, however that ends.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from neocog.engines.base import Engine
from neocog.errors import FormatError, NeocogError, SettingError
from neocog.forks import tell_of_forks
from neocog.interrupts import interrupts_deferred
from neocog.model.json_values import parse_json, shown_value
from neocog.model.modelfile import load_network, save
from neocog.model.network import Network
from neocog.model.writing import remove_temporary_files, write_atomically
from neocog.reading import cause_of, expanded, read_file, read_text
from neocog.system import lock_folder
from neocog.train.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from neocog.train.history import COLUMNS, PHASE, History

if TYPE_CHECKING:
    from neocog.data.dataset import DataSplits

SPLIT_COLUMNS = ("path", "label", "split")
SPLIT_PARTS = ("train", "validation", "test")


MAX_HISTORY = 200_000_000
"""Bytes of a history.csv: more than the million epochs that a training may have."""

MAX_SPLIT = 2_000_000_000
"""Bytes of a split.csv: more than the names of ten million images."""

MAX_CONFIG = 10_000_000
"""Bytes of a config.json."""


def read_config(path: str | Path) -> dict[str, Any]:
    """Read a config.json: what a training was started with.

    Raises:
        FormatError: there is no such file, or it is not one JSON object.
    """
    path = expanded(path)
    try:
        text = read_text(path, MAX_CONFIG)
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {cause_of(error)}") from None
    except ValueError:
        raise FormatError(f"{path} cannot be read: it is not UTF-8") from None
    return parse_json(text, str(path))


def read_split(path: str | Path) -> dict[str, str]:
    """Read a split.csv: the part of every image by its path; empty where there is no such file.

    Raises:
        FormatError: it cannot be read, or is not one of neocog's.
    """
    path = expanded(path)
    try:
        # A file name that is not Unicode keeps its bytes.
        text = read_file(path, MAX_SPLIT).decode("utf-8", "surrogateescape")
        header, *rows = csv.reader(io.StringIO(text, newline="")) if text else [[]]
        if tuple(header) != SPLIT_COLUMNS:
            raise ValueError(f"its columns must be {', '.join(SPLIT_COLUMNS)}")
        wrong = next((row for row in rows if len(row) != len(SPLIT_COLUMNS) or row[2] not in SPLIT_PARTS), None)
        if wrong is not None:
            raise ValueError(
                f"a line must be path, label and one of {', '.join(SPLIT_PARTS)}, got {shown_value(wrong)}"
            )
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {cause_of(error)}") from None
    except (ValueError, csv.Error) as error:
        raise FormatError(f"{path} cannot be read: {error}") from None
    return {name: part for name, _, part in rows}


class RunFolder:
    """The files of one training.

    Arguments:
        path: the folder; it is made if it is not there.

    Attributes:
        path, best, last, history, filters, config, split, starts, report: the folder, and the paths of its files.

    Raises:
        NeocogError: the folder cannot be made.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = expanded(path)
        self.best = self.path / "model.safetensors"
        self.last = self.path / "last.safetensors"
        self.history = self.path / "history.csv"
        self.filters = self.path / "filters.safetensors"
        self.config = self.path / "config.json"
        self.split = self.path / "split.csv"
        self.starts = self.path / "starts.json"
        self.report = self.path / "report.html"
        self._holders = 0
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _folder_error(self.path, error) from None

    @classmethod
    def create(cls, name: str = "train", root: str | Path = "runs") -> RunFolder:
        """Make the first of root/NAME, root/NAME-2, root/NAME-3, ... that is not there yet.

        Two trainings that start at once get two folders.

        Raises:
            SettingError: the name is not one of a folder.
            NeocogError: the folder cannot be made.
        """
        if not name or name in (".", "..") or set(name) & set('/\\\0:*?"<>|'):
            raise SettingError(f"a run's name must be that of a folder, got {name!r}")
        root = expanded(root)
        for number in itertools.count(1):
            path = root / (name if number == 1 else f"{name}-{number}")
            try:
                path.mkdir(parents=True)
            except FileExistsError:
                if not root.is_dir():
                    raise NeocogError(f"{root} cannot hold run folders: it is a file") from None
                continue
            except OSError as error:
                raise _folder_error(path, error) from None
            return cls(path)
        raise AssertionError("unreachable: the numbers do not end")

    def features(self, part: str) -> Path:
        """Return where the features of a part, "train" or "validation", are kept."""
        return self.path / f"features-{part}.safetensors"

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other trainings out of the folder while the body runs; whoever holds it already may hold it again.

        What trainings that were killed left half written is removed.

        Raises:
            NeocogError: another training, of this process or another one, holds it.
        """
        with contextlib.ExitStack() as held:
            if not self._holders:
                with interrupts_deferred():  # a lock that is taken must be somebody's, who releases it
                    held.enter_context(contextlib.closing(_Lock(self.path)))
                remove_temporary_files(self.path)
            self._holders += 1
            try:
                yield
            finally:
                self._holders -= 1

    def save_best(self, model: Network) -> None:
        """Write model.safetensors."""
        save(model, self.best)

    def holds_best(self, model: Network, epoch: int) -> bool:
        """Tell whether model.safetensors holds these weights, as those after this epoch."""
        try:
            found = load_network(self.best, Network)
        except FormatError:
            return False
        if found.metrics.get("epoch") != epoch or found.graph != model.graph:
            return False
        return all(value.tobytes() == found.parameters[name].tobytes() for name, value in model.parameters.items())

    def save_last(self, checkpoint: Checkpoint) -> None:
        """Write last.safetensors, before all that follows from it: a killed training goes on from there."""
        save_checkpoint(checkpoint, self.last)

    def load_last(
        self, *, engine: str | Engine = "native", threads: int | None = None, kind: type[Network] = Network
    ) -> Checkpoint:
        """Read last.safetensors for `fit(checkpoint.model, ..., resume=checkpoint)`, and the best weights beside it.

        Raises:
            FormatError: the folder holds no training that can go on.
        """
        if not self.last.exists():
            raise FormatError(
                f"{self.path} holds no last.safetensors, so there is no training to resume",
                hint="a training writes it after its first epoch",
            )
        checkpoint = load_checkpoint(self.last, engine=engine, threads=threads, kind=kind)
        best = checkpoint.history.best
        if best is not None and best.epoch == len(checkpoint.history):
            checkpoint.best_parameters = checkpoint.measured()
        elif best is not None and self.best.exists():
            model = load_network(self.best, Network)
            if model.metrics.get("epoch") == best.epoch and model.graph == checkpoint.model.graph:
                checkpoint.best_parameters = model.parameters
        return checkpoint

    def write_history(self, history: History) -> None:
        """Write history.csv anew: a line for each epoch so far; floats are written so that they read back exactly."""
        write_atomically(self.history, history.to_csv().encode())

    def read_history(self) -> list[dict[str, float | None]]:
        """Read history.csv: for each epoch, the numbers under their column's names; none where there is no such file.

        Raises:
            FormatError: it cannot be read, or is not one of neocog's.
        """
        try:
            lines: Iterator[list[str]] = csv.reader(io.StringIO(read_text(self.history, MAX_HISTORY), newline=""))
            header = tuple(next(lines, ()))
            if header not in (COLUMNS, (*COLUMNS, PHASE)):
                raise ValueError(f"its columns must be {', '.join(COLUMNS)}, and {PHASE} where there are several")
            lines = (row[: len(COLUMNS)] if len(row) == len(header) else row for row in lines)
            return [_epoch(number, row) for number, row in enumerate(lines, 1)]
        except FileNotFoundError:
            return []
        except OSError as error:
            raise FormatError(f"{self.history} cannot be read: {cause_of(error)}") from None
        except UnicodeDecodeError:
            raise FormatError(f"{self.history} cannot be read: it is not UTF-8") from None
        except (ValueError, csv.Error) as error:
            raise FormatError(f"{self.history} cannot be read: {error}") from None

    def write_config(self, config: Mapping[str, object]) -> None:
        """Write config.json.

        Raises:
            SettingError: it holds what JSON cannot say.
        """
        try:
            text = json.dumps(config, ensure_ascii=False, allow_nan=False, indent=2)
        except (TypeError, ValueError) as error:
            raise SettingError(f"a configuration must be JSON values: {error}") from None
        write_atomically(self.config, f"{text}\n".encode())

    def write_split(self, splits: DataSplits) -> None:
        """Write split.csv: path, label and part ("train", "validation" or "test") of every image."""
        rows = (
            [identifier, dataset.label_text(index), part]
            for part, dataset in splits.items()
            for index, identifier in enumerate(dataset.identifiers)
        )
        write_atomically(self.split, _csv(SPLIT_COLUMNS, rows))

    def read_split(self) -> dict[str, str]:
        """Read split.csv; see `read_split`."""
        return read_split(self.split)


class _Lock:
    """A lock on a folder, until it is closed or the process ends.

    Where that cannot be done, as on some network file systems, nothing keeps two trainings apart.

    Raises:
        NeocogError: somebody holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._handle = _open_locked(folder)
        tell_of_forks(self)

    def after_fork(self) -> None:
        """Leave the lock to the process that took it: a child that outlives it must not hold it."""
        self.close()

    def close(self) -> None:
        """Release the lock."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None


def _open_locked(folder: Path) -> int | None:
    try:
        return lock_folder(folder)
    except BlockingIOError:
        raise NeocogError(
            f"another training writes to {folder} at this moment", hint="wait for its end, or choose another folder"
        ) from None
    except OSError as error:
        raise NeocogError(f"the folder {folder} cannot be opened: {cause_of(error)}") from None


def _epoch(number: int, row: list[str]) -> dict[str, float | None]:
    """Return a line of history.csv, the epoch of that number, as numbers under their columns' names."""
    if len(row) != len(COLUMNS) or row[0] != str(number):
        raise ValueError(
            f"line {number + 1} must be that of epoch {number}, {len(COLUMNS)} cells, got {shown_value(row)}"
        )
    values: dict[str, float | None] = {"epoch": number}
    for name, cell in zip(COLUMNS[1:], row[1:], strict=True):
        if not cell and name.startswith("val_"):
            values[name] = None
            continue
        try:
            values[name] = float(cell)
        except ValueError:
            raise ValueError(f"line {number + 1}: {name} must be a number, got {shown_value(cell)}") from None
    return values


def _csv(columns: tuple[str, ...], rows: Iterable[list[str]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows(rows)
    # A file name that is not Unicode keeps its bytes.
    return text.getvalue().encode("utf-8", "surrogateescape")


def _folder_error(path: Path, error: OSError) -> NeocogError:
    reason = "there is a file of that name" if isinstance(error, FileExistsError) else (error.strerror or str(error))
    return NeocogError(f"the folder {path} cannot be made: {reason.lower()}")
