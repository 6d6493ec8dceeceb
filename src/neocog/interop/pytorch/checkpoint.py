"""The state dict of a file: safetensors, or what torch.save wrote, whichever way a training wrapped it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from neocog.data.inert_machine import SHOWN
from neocog.errors import FormatError, NeocogError
from neocog.interop.pytorch.archive import LEGACY, TorchFile, read_archive, read_legacy
from neocog.interop.pytorch.pickled import PickledTensor
from neocog.interop.pytorch.safe import read_safe
from neocog.interop.pytorch.stored import READ, StoredTensor
from neocog.model.files import MAX_FILE
from neocog.reading import cause_of, expanded, open_file

WRAPPED = ("state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "weights", "params")
"""What trainings call the state dict among other things that they keep; the first that is there counts."""

_HEAD = 32  # bytes of a file that tell what it is


@dataclass(frozen=True)
class StateFile:
    """The tensors of a file.

    Arguments:
        path: of the file.
        tensors: name → tensor, in the order of the file.
        texts: what a safetensors file keeps beside them.
    """

    path: Path
    tensors: Mapping[str, StoredTensor]
    texts: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def sha256(self) -> str:
        """The digest of the whole file, as hexadecimal digits."""
        with open_file(self.path) as file:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # BinaryIO does not say readinto


def open_state(path: str | os.PathLike[str]) -> StateFile:
    """Find the tensors of a .safetensors, .pt or .pth file; its first bytes tell which it is. No values are read.

    Arguments:
        path: the file; "~" is understood.

    Raises:
        FormatError: there is no such file, it is damaged, of another kind, or asks for what weights do not need.
    """
    path = expanded(path)
    try:
        with open_file(path, MAX_FILE) as file:
            head = file.read(_HEAD)
            if head[:4] == b"PK\3\4":
                return StateFile(path, _tensors(read_archive(path, file)))
            if head[:1] == b"\x80" and LEGACY in head:
                return StateFile(path, _tensors(read_legacy(path, file)))
            if head[8:9] == b"{":
                return StateFile(path, *read_safe(path, file))
    except FileNotFoundError:
        raise FormatError(f"{path}: there is no such file") from None
    except IsADirectoryError:
        raise FormatError(f"{path} is a folder, not a file of weights") from None
    except OSError as error:
        raise FormatError(f"{path} cannot be read: {cause_of(error)}") from None
    except ValueError as error:  # a NUL byte, which no path can hold; NeocogErrors may be one too, and pass
        if isinstance(error, NeocogError):
            raise
        raise FormatError(f"{str(path)!r}: no file can have this name: {error}") from None
    raise _foreign(path, head)


def _foreign(path: Path, head: bytes) -> FormatError:
    if head[:1] == b"\x80":
        return FormatError(
            f"{path} is a pickle, but none of PyTorch's",
            hint="write it with torch.save(net.state_dict(), path), or better as safetensors",
        )
    return FormatError(
        f"{path} is no file of weights: it begins with {head[:8]!r}" if head else f"{path} is empty",
        hint=READ,
    )


def _tensors(opened: TorchFile) -> dict[str, StoredTensor]:
    """Return the state dict that a PyTorch file holds."""
    value, path = opened.value, opened.path
    if not isinstance(value, dict):
        raise FormatError(
            f"{path} holds a {_word(value)}, not a state dict",
            hint="torch.save(net.state_dict(), path) writes one",
        )
    for name in (None, *WRAPPED):
        inner = value if name is None else value.get(name)
        found = _of(inner)
        if found:
            return {name: opened.tensor(name, tensor) for name, tensor in found.items()}
    raise FormatError(
        f"{path} holds no state dict",
        details=tuple(f"{_text(name)[:SHOWN]}: a {_word(inner)}" for name, inner in list(value.items())[:10]),
        hint=f"it is looked for under {', '.join(WRAPPED)}; torch.save(net.state_dict(), path) writes one by itself",
    )


def _of(value: Any) -> dict[str, PickledTensor]:
    """Return the tensors of a mapping; what else a state dict may hold (numbers, extra state) is left out."""
    if not isinstance(value, dict):
        return {}
    return {_text(name): tensor for name, tensor in value.items() if isinstance(tensor, PickledTensor)}


def _text(name: str | bytes) -> str:
    return name if isinstance(name, str) else name.decode("latin-1")


def _word(value: Any) -> str:
    if isinstance(value, PickledTensor):
        return "tensor"
    words: dict[type, str] = {dict: "dictionary", list: "list", str: "text"}
    return words.get(type(value), "number" if isinstance(value, int | float) else "thing")
