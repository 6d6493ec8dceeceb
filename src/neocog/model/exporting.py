"""A network as a file that others read. What writes it lies in `interop`, which stands on this room."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from neocog.model.pictures import AnyImages


class Exporting:
    """A network's ways out: names for users, found when they are called, so that this room needs no other."""

    def to_onnx(
        self,
        path: str | Path,
        *,
        input: str = "uint8",
        opset: int | None = None,
        fold: bool = False,
        images: AnyImages | None = None,
        strict: bool = False,
    ) -> Any:
        """Write an ONNX file that takes pictures and gives probabilities, after ONNX Runtime has answered images with
        it as this network does; `neocog.to_onnx` says what each argument is, what comes back and what it raises.
        """
        write = import_module("neocog.interop.onnx.write").to_onnx
        return write(self, path, input=input, opset=opset, fold=fold, images=images, strict=strict)

    def to_pytorch(self) -> Any:
        """Return the weights as a PyTorch state dict, and the source of a plain nn.Module that takes them and needs no
        neocog: `.state_dict`, `.source`, and `.save(path)`, which writes both. See `neocog.interop.pytorch.export`.
        """
        return import_module("neocog.interop.pytorch.export").to_pytorch(self)
