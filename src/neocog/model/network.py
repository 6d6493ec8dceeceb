"""A network with its weights, class names and preprocessing: what is asked, and what training changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from typing import Self

import numpy as np
from numpy.typing import NDArray

from neocog.data.identity import NOBODY, Identities
from neocog.data.resize import DEFAULT_RESIZE, ResizeRule
from neocog.engines.base import Array, Engine, State
from neocog.engines.precision import Precision, Settled
from neocog.errors import SettingError
from neocog.model.answering import Answering
from neocog.model.arguments import check_names, check_numbers, check_seed
from neocog.model.exporting import Exporting
from neocog.model.origin import Origin
from neocog.model.statedict import from_state_dict, split_identities
from neocog.model.views import PLAIN, Views
from neocog.model.weights import Weights
from neocog.nn.branches import fold_branches
from neocog.nn.graph import Graph, Normalisation, trace
from neocog.nn.layer import Layer
from neocog.nn.losses import CrossEntropy, Loss
from neocog.nn.parameters import Initialisation, initial_parameters, to_pytorch, variables_of
from neocog.nn.shapes import ImageShape
from neocog.nn.summary import format_summary, summary_html

COLOR_ORDERS = {1: "L", 3: "RGB", 4: "RGBA"}
"""What the channels of an image mean, under Pillow's names."""


class Network(Answering, Exporting):
    """A network with its weights: it answers. `neocog.Model` is one that can be trained and saved.

    Arguments:
        net: the layers.
        input_shape: (height, width, channels) of an image, pixels.
        class_names: one name for each output; default "0", "1", ...
        seed: decides the initial parameters, and what `fit` shuffles and drops unless it is given another.
        initialisation: "he" or "glorot".
        mean, std: an image becomes (image - mean) / std, on values in [0, 1], inside the compiled program; one number,
            or one for each channel.
        resize: how image files are brought to the input size: "stretch", "crop", "pad", "crop=0.875,bicubic", ...; see
            `neocog.data.resize`.
        loss: what training makes smaller unless it is told otherwise, and so what answers mean: with BinaryCrossEntropy
            an image may have several labels. Training sets it.
        views: how it looks at an image where it answers: "plain", once; "flip", at its mirror image too; "flip-shift",
            at both shifted by a pixel too, six times in all. The answer is the mean of the logits. Saved with it;
            thresholds and calibration are of the views that they were fitted with.
        engine: "native", "reference" or "torch", or an Engine.
        threads: threads of the engine; None means as many as this process may use.
        precision: "float32", "bfloat16" or "auto": what it computes with where it answers; see `Answering.precision`.

    Raises:
        ShapeError: a layer cannot take what comes to it, or the names are not as many as the outputs.
        SettingError: an argument is out of its range.

    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
    >>> network = Network(Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(2)), (6, 6, 1), ["circle", "cross"])
    >>> {name: value.shape for name, value in network.parameters.items()}
    {'0.weight': (3, 3, 1, 2), '0.bias': (2,), '3.weight': (32, 2), '3.bias': (2,)}
    """

    def __init__(
        self,
        net: Layer,
        input_shape: ImageShape | tuple[int, int, int],
        class_names: Sequence[str] | None = None,
        *,
        seed: int = 0,
        initialisation: Initialisation = "he",
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        resize: ResizeRule | str = DEFAULT_RESIZE,
        loss: Loss | None = None,
        views: Views = PLAIN,
        engine: str | Engine = "native",
        threads: int | None = None,
        precision: Precision = "float32",
    ) -> None:
        if not isinstance(net, Layer):
            raise SettingError(f"net must be a layer or block, got {net!r}", hint="write Sequential(layer, layer, ...)")
        if initialisation not in ("he", "glorot"):
            raise SettingError(f'initialisation must be "he" or "glorot", got {initialisation!r}')
        graph = trace(net, input_shape, Normalisation(check_numbers("mean", mean), check_numbers("std", std)))
        if not isinstance(loss, Loss | None):
            raise SettingError(f"loss must be of the type Loss, got {loss!r}", hint="write loss=nc.CrossEntropy()")
        loss = CrossEntropy() if loss is None else loss
        loss.check_outputs(graph.classes)
        self.class_names: tuple[str, ...] = check_names(class_names, graph.classes)
        self.seed: int = check_seed(seed)
        drawn_from = self.seed
        weights = Weights(graph, lambda: initial_parameters(graph, drawn_from, initialisation))
        super().__init__(
            graph, weights, loss=loss, resize=resize, views=views, engine=engine, threads=threads, precision=precision
        )
        self.metrics: dict[str, float] = {}
        """What was measured when the model was trained, such as "val_accuracy"; saved with it."""
        self.learnt_from: Identities | None = NOBODY
        """Which images shaped it (see `neocog.data.identity`), so that it is not measured on them by mistake; saved
        with it. None: not known, as where the weights came from elsewhere."""
        self.origin: Origin | None = None
        """Where its first weights came from, if not from here; saved with it, and kept where it is trained further."""
        self.trained_in: Settled | None = None
        """What its last training computed with, "float32" or "bfloat16"; saved with it. None: not known."""

    @property
    def net(self) -> Layer:
        """The network as it was declared."""
        return self.graph.net

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of an image, pixels."""
        shape = self.graph.input
        return shape.height, shape.width, shape.channels

    @property
    def color_order(self) -> str | None:
        """What the channels mean, under Pillow's names: "L", "RGB" or "RGBA"; None for other numbers of channels."""
        return COLOR_ORDERS.get(self.graph.input.channels)

    def __repr__(self) -> str:
        net = f"{len(self.graph.nodes)} layers" if isinstance(self.net, Graph) else repr(self.net)
        return f"{type(self).__name__}({net}, input_shape={self.input_shape}, {len(self.class_names)} classes)"

    # -- parameters ---------------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> Mapping[str, Array]:
        """The parameters: name → read-only array, in memory layout. Change them with `load_parameters`.

        After training steps the first access copies them out of the engine.
        """
        return self.weights.arrays

    def load_parameters(self, values: Mapping[str, NDArray[np.generic]], *, allow_nonfinite: bool = False) -> None:
        """Take new parameters, in memory layout; they are copied.

        Arguments:
            values: name → array; PyTorch's tensors will do.
            allow_nonfinite: whether NaN and infinite values are taken, to look at what they do.

        Raises:
            ShapeError: the names or shapes are not those of the network.
            SettingError: values are NaN, infinite or no numbers; the message names the parameters.

        What the model learnt from, its `origin`, and what it was trained in are then not known any more: whoever made
        the parameters knows, and does not say. Nor does what was found of its probabilities hold: `thresholds`,
        `calibration`, `reject_below`, `scales`.
        """
        self.restore(values, allow_nonfinite=allow_nonfinite)
        self.learnt_from = self.origin = self.trained_in = self.thresholds = self.calibration = self.reject_below = None
        self.scales = None

    def restore(self, values: Mapping[str, NDArray[np.generic]], *, allow_nonfinite: bool = False) -> None:
        """Go back to parameters that this model had: `load_parameters`, but that what it learnt from stays known."""
        self.weights.replace(values, allow_nonfinite=allow_nonfinite)

    def state_dict(self) -> State:
        """Return a copy of the parameters with PyTorch's names and layout, for torch.nn.Sequential.load_state_dict.

        Filters are (output, input, row, column), matrices (output, input), and the columns of a Linear behind a
        Flatten lie in (channel, row, column) order. Behind a Concatenate or Maxout of flattened images they lie in
        (row, column, channel) order, which PyTorch's Flatten does not give.
        """
        values = self.parameters
        return {p.name: np.array(to_pytorch(p, values[p.name]), np.float32) for p in variables_of(self.graph)}

    def load_state_dict(self, state: Mapping[str, NDArray[np.generic]], *, allow_nonfinite: bool = False) -> None:
        """Take parameters under PyTorch's names and in its layout, such as a torch.nn.Sequential's state_dict().

        What wrappers put into names ("module.", "_orig_mod.") is left out, and so is a prefix that all names share.
        What a model file's tensors say of the images that it learnt from is kept.

        Arguments:
            state: name → array; PyTorch's tensors will do, of any type and on any device.
            allow_nonfinite: whether NaN and infinite values are taken, to look at what they do.

        Raises:
            ShapeError: the names or shapes are not those of the network.
            SettingError: values are NaN, infinite or no numbers; the message names the parameters.
        """
        state, learnt_from = split_identities(state)
        self.load_parameters(from_state_dict(self.graph, state), allow_nonfinite=allow_nonfinite)
        self.learnt_from = learnt_from

    def summary(self) -> str:
        """Return a table of shapes, parameters (fully connected / local / shared) and multiply-adds."""
        return format_summary(self.graph)

    def _repr_html_(self) -> str:
        """Return a table of the layers, which notebooks show."""
        return summary_html(self.graph)

    def folded(self) -> Self:
        """Return a network that predicts the same with fewer layers: normalizations, and branches of convolutions that
        are added up, as RepVGG has them, become part of a convolution's weights. See `neocog.nn.branches`.

        It can be saved, and what a training would have moved in those layers is not there any more. It has no `scales`:
        its values are others.
        """
        graph, parameters = fold_branches(self.graph, self.parameters)
        twin = type(self)(
            graph,
            self.input_shape,
            self.class_names,
            seed=self.seed,
            mean=self.graph.normalisation.mean,
            std=self.graph.normalisation.std,
            resize=self.resize,
            loss=self.loss,
            views=self.views,
            engine=self.engine,
            threads=self.threads,
            precision="float32" if self.precision == "int8" else self.precision,
        )
        twin.restore(parameters)
        twin.metrics, twin.learnt_from, twin.origin = dict(self.metrics), self.learnt_from, self.origin
        twin.trained_in = self.trained_in
        twin.thresholds, twin.calibration, twin.reject_below = self.thresholds, self.calibration, self.reject_below
        return twin

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__getstate__(), weights=copy(self.weights))  # which have one owner
        return twin
