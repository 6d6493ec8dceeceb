"""What a file is that was given for a model file and is none, by its first bytes: an image, a pickle, a text."""

from __future__ import annotations

from pathlib import Path

from neocog.data.formats import foreign, recognise
from neocog.errors import FormatError

_NO_LENGTH = 1 << 40  # bytes; any eight are more that were not meant for a length
_OWN = "neocog train writes model.safetensors into its run folder, runs/NAME"
_PICKLE = "neocog opens no pickles, since those can run code"
_TORCH = "if it holds weights of PyTorch's, neocog import FILE --model NAME makes a model of them"
_KERAS = "declare its network as a neocog.Model, and give its weights to load_parameters"
_STARTS = {
    b"PK\x03\x04": ("a zip archive, such as a PyTorch, Keras or .npz file", _TORCH),
    b"PK\x05\x06": ("an empty zip archive", _OWN),
    **dict.fromkeys(
        [bytes([0x80, protocol]) for protocol in range(2, 6)], ("a pickle (PyTorch, joblib)", f"{_PICKLE}; {_TORCH}")
    ),
    b"\x89HDF": ("an HDF5 file (Keras)", _KERAS),
    b"\x1f\x8b": ("a gzip file", "unpack it first, such as with gunzip or tar"),
    b"BZh": ("a bzip2 file", "unpack it first"),
    b"\xfd7zXZ\0": ("an xz file", "unpack it first"),
    b"\x28\xb5\x2f\xfd": ("a zstd file", "unpack it first"),
    b"7z\xbc\xaf\x27\x1c": ("a 7z archive", "unpack it first"),
    b"\x93NUMPY": ("a NumPy array (.npy)", _OWN),
    b"GGUF": ("a GGUF file, of language models", _OWN),
    b"\x7fELF": ("a program", _OWN),
}


def kind_of_file(path: Path, head: bytes) -> FormatError | None:
    """Return what to say of a file that is no safetensors file.

    Arguments:
        path: of the file.
        head: its first bytes, as many as `neocog.model.files.HEAD`.

    Returns:
        None where it is not known what it is.
    """
    picture, other = recognise(head), foreign(head)
    if picture is None and other is not None:
        picture = other.format
    if picture is not None:
        return FormatError(
            f"{path} is an image ({picture}), not a model file",
            hint=f"MODEL comes first, as in: neocog predict runs/NAME {path}",
        )
    if path.suffix.lower() == ".onnx":
        return FormatError(f"{path} is an ONNX file, not a model file", hint="neocog.from_onnx reads it")
    known = next((known for start, known in _STARTS.items() if head.startswith(start)), None)
    if known is not None:
        kind, hint = known
        return FormatError(f"{path} is {kind}, not a model file", hint=hint)
    if other is not None:
        return FormatError(f"{path} is not a model file: this is {other.kind}", hint=_OWN)
    if _is_text(head):
        return FormatError(f"{path} is a text, not a model file", hint=_OWN)
    if int.from_bytes(head[:8], "little") >= _NO_LENGTH:
        return FormatError(f"{path} is not a model file: it begins with {head[:8]!r}", hint=_OWN)
    return None


def _is_text(head: bytes) -> bool:
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:  # at the end, a character may be cut
            return False
        text = head[: error.start].decode("utf-8")
    return bool(text) and all(c.isprintable() or c in "\t\r\n\ufeff" for c in text)
