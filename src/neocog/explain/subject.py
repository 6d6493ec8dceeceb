"""What is explained: a model, one of its layers, an image. What users pass is checked here."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from neocog.data.decode import decode_image
from neocog.data.picture import Picture, is_picture
from neocog.data.resize import DEFAULT_RESIZE, ImageSize
from neocog.errors import SettingError
from neocog.nn.graph import Graph, Node
from neocog.nn.images import check_image, check_values
from neocog.nn.layers import Layer
from neocog.nn.losses import Loss
from neocog.nn.shapes import ImageShape
from neocog.nn.transfer import node_of

Array = NDArray[np.float64]
"""What explanations compute with."""

ProgressListener = Callable[[float, str], None]
"""Told how much is done (0 to 1) and of what; it may raise to cancel the work."""


class Subject(Protocol):
    """What explanations need of a `neocog.Model`."""

    @property
    def graph(self) -> Graph:
        """The network with all shapes."""

    @property
    def parameters(self) -> Mapping[str, NDArray[np.float32]]:
        """Name → array, in memory layout."""

    @property
    def class_names(self) -> tuple[str, ...]:
        """One name for each output."""

    @property
    def loss(self) -> Loss:
        """What it was trained with, which says what its logits mean: of one class, or of labels each by itself."""

    def __call__(self, images: NDArray[Any]) -> NDArray[np.float32]:
        """Return the logits (N, outputs) of images, by the model's engine."""

    def peaks(self, images: NDArray[Any]) -> dict[int, NDArray[np.float32]]:
        """Return, for each convolution, the largest value (N, filters) of each map at the end of its `answer_path`."""

    def outputs(self, images: NDArray[Any], layers: Sequence[int]) -> dict[int, NDArray[np.float32]]:
        """Return what some layers give: index → (N, height, width, channels), or (N, values) of a vector."""


def no_progress(done: float, what: str) -> None:
    """Listen to nothing."""


def exact_parameters(model: Subject) -> dict[str, Array]:
    """Return the model's parameters in float64: name → array, in memory layout."""
    return {name: np.asarray(value, np.float64) for name, value in model.parameters.items()}


def layer_node(model: Subject, layer: int | str, *kinds: type[Layer]) -> Node:
    """Find a layer by its index (negative: from the end) or by its name, as in `model.summary()`.

    Arguments:
        model: whose layer.
        layer: 0, -1, "0", "2.1".
        kinds: if given, the layer must be one of these.

    Raises:
        SettingError: there is no such layer, or it is of another kind.
    """
    node = node_of(model.graph, layer)
    if kinds and not isinstance(node.layer, kinds):
        wanted = " or ".join(kind.__name__ for kind in kinds)
        fitting = ", ".join(n.name for n in model.graph.nodes if isinstance(n.layer, kinds)) or "none"
        raise SettingError(
            f"layer {node.name} must be a {wanted}, it is a {type(node.layer).__name__}",
            hint=f"layers of that kind: {fitting}",
        )
    return node


def image_output(node: Node) -> ImageShape:
    """Return the shape of a layer's maps.

    Raises:
        SettingError: the layer gives a vector.
    """
    if not isinstance(node.output, ImageShape):
        raise SettingError(f"{node.title} gives {node.output}, not feature maps")
    return node.output


def check_index(name: str, value: int, count: int) -> int:
    """Return `value` if it lies between 0 and count - 1.

    Raises:
        SettingError: it does not.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or not 0 <= value < count:
        raise SettingError(f"{name} must be a whole number from 0 to {count - 1}, got {value!r}")
    return int(value)


def one_image(model: Subject, image: NDArray[Any] | Picture) -> NDArray[Any]:
    """Return one image as a batch (1, H, W, C) of uint8, or of float64 in [0, 1].

    Arguments:
        model: which images it takes.
        image: (H, W, C), (H, W) if grey, or a batch of one. Or a picture, brought to the network's size as `predict`
            does: a path, the bytes of a file, a file object, or a Pillow image.

    Raises:
        ShapeError, DataError: it is not of the network's size, of another type, or cannot be read.
    """
    if isinstance(image, list | tuple) and len(image) == 1 and is_picture(image[0]):
        image = image[0]
    if is_picture(image):
        shape = model.graph.input
        size = ImageSize(shape.height, shape.width, shape.channels)
        return decode_image(cast(Picture, image), size, getattr(model, "resize", DEFAULT_RESIZE))[None]
    batch = check_image(model.graph, cast(NDArray[Any], image))
    return batch if batch.dtype == np.uint8 else check_values(model.graph, batch.astype(np.float64))
