"""A network with its parameters, class names and preprocessing: what is trained, asked, saved and loaded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from neocog.data.identity import NOBODY, Identities, identities_of_array
from neocog.data.resize import DEFAULT_RESIZE, ResizeRule, check_rule
from neocog.engines.base import Array, Engine, Images, Predictor, State, check_targets, room_for_peaks
from neocog.errors import SettingError
from neocog.nn.graph import Graph, Normalisation, trace
from neocog.nn.layer import Layer
from neocog.nn.losses import Loss
from neocog.nn.optimizers import Optimizer
from neocog.nn.parameters import (
    Initialisation,
    check_parameters,
    initial_parameters,
    parameters_of,
    to_pytorch,
)
from neocog.nn.schedules import Schedule
from neocog.nn.shapes import ImageShape
from neocog.nn.summary import format_summary
from neocog.train.arguments import check_names, check_numbers, resolve_engine, split_off
from neocog.train.pictures import AnyImages, checked_arrays, in_pieces, piece_size
from neocog.train.source import ArraySource, check_count, check_seed
from neocog.train.weights import as_arrays, check_finite, from_state_dict, frozen, split_identities

if TYPE_CHECKING:
    from neocog.train.callbacks import Callback
    from neocog.train.evaluation import Evaluation
    from neocog.train.history import History

COLOR_ORDERS = {1: "L", 3: "RGB", 4: "RGBA"}
"""What the channels of an image mean, under Pillow's names."""


class Model:
    """A network with its parameters.

    Arguments:
        net: the layers.
        input_shape: (height, width, channels) of an image, pixels.
        class_names: one name for each output; default "0", "1", ...
        seed: decides the initial parameters, and what `fit` shuffles and drops unless it is given another.
        initialisation: "he" or "glorot".
        mean, std: an image becomes (image - mean) / std, on values in [0, 1], inside the compiled program; one number,
            or one for each channel.
        resize: how image files of another size are resized to the input size: "stretch", "crop" or "pad".
        engine: "native", "reference" or "torch", or an Engine.
        threads: threads of the engine; None means as many as this process may use.

    Raises:
        ShapeError: a layer cannot take what comes to it, or the names are not as many as the outputs.
        SettingError: an argument is out of its range.

    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
    >>> model = Model(Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(2)), (6, 6, 1), ["circle", "cross"])
    >>> {name: value.shape for name, value in model.parameters.items()}
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
        resize: ResizeRule = DEFAULT_RESIZE,
        engine: str | Engine = "native",
        threads: int | None = None,
    ) -> None:
        if not isinstance(net, Layer):
            raise SettingError(f"net must be a layer or block, got {net!r}", hint="write Sequential(layer, layer, ...)")
        if initialisation not in ("he", "glorot"):
            raise SettingError(f'initialisation must be "he" or "glorot", got {initialisation!r}')
        self.graph: Graph = trace(
            net, input_shape, Normalisation(check_numbers("mean", mean), check_numbers("std", std))
        )
        self.class_names: tuple[str, ...] = check_names(class_names, self.graph.classes)
        self.images_at_once: int = piece_size(self.graph)
        """How many images the engine gets at a time, so that memory stays bounded; of large images fewer."""
        self.seed: int = check_seed(seed)
        self.resize: ResizeRule = check_rule(resize)
        self._engine: str | Engine = engine
        self._threads: int | None = None if threads is None else check_count("threads", threads)
        self.metrics: dict[str, float] = {}
        """What was measured when the model was trained, such as "val_accuracy"; saved with it."""
        self.learnt_from: Identities | None = NOBODY
        """Which images shaped it (see `neocog.data.identity`), so that it is not measured on them by mistake; saved
        with it. None: not known, as where the weights came from elsewhere."""
        self._values: Mapping[str, Array] | None = None
        self._source: Callable[[], State] = lambda: initial_parameters(self.graph, self.seed, initialisation)
        self._version = 0
        self._predictor: Predictor | None = None
        self._predictor_version = -1

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
        return f"Model({self.net!r}, input_shape={self.input_shape}, {len(self.class_names)} classes)"

    @property
    def threads(self) -> int | None:
        """Threads of the engine; None means as many as this process may use. A new number counts from the next answer.

        Raises:
            SettingError: it is no whole number from 1 up.
        """
        return self._threads

    @threads.setter
    def threads(self, threads: int | None) -> None:
        self._threads = None if threads is None else check_count("threads", threads)
        self._predictor = None

    @property
    def engine(self) -> str | Engine:
        """The engine: "native", "reference" or "torch", or an Engine. Another one gives the next answer."""
        return self._engine

    @engine.setter
    def engine(self, engine: str | Engine) -> None:
        self._engine, self._predictor = engine, None

    # -- parameters ---------------------------------------------------------------------------------------------------

    @property
    def parameters(self) -> Mapping[str, Array]:
        """The parameters: name → read-only array, in memory layout. Change them with `load_parameters`.

        After training steps the first access copies them out of the engine.
        """
        if self._values is None:
            self._values = frozen(self._source())
        return self._values

    @property
    def version(self) -> int:
        """A number that changes whenever the parameters do."""
        return self._version

    def follow(self, source: Callable[[], State]) -> int:
        """Note that the parameters changed, and that `source` gives them on request; give the new version."""
        self._source, self._values = source, None
        self._version += 1
        return self._version

    def load_parameters(self, values: Mapping[str, NDArray[np.generic]], *, allow_nonfinite: bool = False) -> None:
        """Take new parameters, in memory layout; they are copied.

        Arguments:
            values: name → array; PyTorch's tensors will do.
            allow_nonfinite: whether NaN and infinite values are taken, to look at what they do.

        Raises:
            ShapeError: the names or shapes are not those of the network.
            SettingError: values are NaN, infinite or no numbers; the message names the parameters.

        What the model learnt from is then not known any more: whoever made the parameters knows, and does not say.
        """
        self.restore(values, allow_nonfinite=allow_nonfinite)
        self.learnt_from = None

    def restore(self, values: Mapping[str, NDArray[np.generic]], *, allow_nonfinite: bool = False) -> None:
        """Go back to parameters that this model had: `load_parameters`, but that what it learnt from stays known."""
        arrays = as_arrays(values)
        check_parameters(self.graph, arrays)
        if not allow_nonfinite:
            check_finite(arrays)
        # The network's order, whatever order they came in: what lists parameters looks the same for the same network.
        with np.errstate(over="ignore"):  # it was asked for
            copies = {p.name: np.array(arrays[p.name], np.float32, order="C") for p in parameters_of(self.graph)}
        self.follow(lambda: copies)
        self._values = frozen(copies)

    def state_dict(self) -> State:
        """Return a copy of the parameters with PyTorch's names and layout, for torch.nn.Sequential.load_state_dict.

        Filters are (output, input, row, column), matrices (output, input), and the columns of a Linear behind a
        Flatten lie in (channel, row, column) order.
        """
        values = self.parameters
        return {p.name: np.array(to_pytorch(p, values[p.name]), np.float32) for p in parameters_of(self.graph)}

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

    # -- answers ------------------------------------------------------------------------------------------------------

    def __call__(self, images: AnyImages) -> Array:
        """Return the logits (N, outputs) of images.

        Arguments:
            images: (N, height, width, channels), uint8 or floating-point in [0, 1]; grey images may be (N, H, W). Or
                pictures, brought to the network's size as its own were: a path, a file object, the bytes of a file, a
                Pillow image, or a list of these.

        Raises:
            ShapeError, DataError: the images are not of the network's size, of another type, or cannot be read.

        Floating-point images must not be normalised where the model does that itself.
        """
        return self._answers(lambda predictor, x: predictor.logits(x), images, self.graph.classes)

    def predict_proba(self, images: AnyImages) -> Array:
        """Return the probabilities (N, outputs) of images or pictures, as `__call__` takes them: the softmax of the
        logits.

        It is computed here, in float64, and rounded to float32, so that equal logits give equal probabilities
        whatever the engine.
        """
        logits = self(images).astype(np.float64)
        shares = np.exp(logits - logits.max(axis=1, keepdims=True))
        probabilities: Array = (shares / shares.sum(axis=1, keepdims=True)).astype(np.float32)
        return probabilities

    def predict(self, images: AnyImages) -> NDArray[np.int64]:
        """Return the class indices (N,) of images or pictures, as `__call__` takes them; the first of equally likely
        ones. Names: `class_names[index]`.
        """
        indices: NDArray[np.int64] = self(images).argmax(axis=1).astype(np.int64)
        return indices

    def features(self, images: AnyImages) -> Array:
        """Return (N, features) of images or pictures, as `__call__` takes them: what the convolution part hands to the
        rest, in (row, column, channel) order.
        """
        width = self.graph.nodes[self.graph.feature_node].output.size
        return self._answers(lambda predictor, x: predictor.features(x), images, width)

    def peaks(self, images: AnyImages) -> dict[int, Array]:
        """Return the largest value of every feature map: the strongest response of each filter to each image.

        Arguments:
            images: as `__call__` takes them.

        Returns:
            index of a Conv2d in `graph.nodes` → (N, filters): over all positions, behind the ReLU that directly follows
            the convolution, if there is one. Without a convolution it is empty.

        Raises:
            ShapeError, DataError: the images are not of the network's size, of another type, or cannot be read.

        Cost: about that of the logits. A first call of the native engine compiles a program of its own.

        >>> from neocog.nn.blocks import Sequential
        >>> from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
        >>> model = Model(Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(2)), (6, 6, 1))
        >>> {layer: peaks.shape for layer, peaks in model.peaks(np.zeros((5, 6, 6), np.uint8)).items()}
        {0: (5, 2)}
        """
        count, pieces = in_pieces(self.graph, self.resize, images, self.images_at_once)
        answers, done = room_for_peaks(self.graph, count), 0
        for x in pieces:
            for layer, peaks in self._ready_predictor().peaks(x).items():
                answers[layer][done : done + len(x)] = peaks
            done += len(x)
        return answers

    def _answers(self, compute: Callable[[Predictor, Images], Array], images: AnyImages, width: int) -> Array:
        count, pieces = in_pieces(self.graph, self.resize, images, self.images_at_once)
        answers, done = np.empty((count, width), np.float32), 0
        for x in pieces:
            found = compute(self._ready_predictor(), x)
            if len(x) == count:
                return found
            answers[done : done + len(x)] = found
            done += len(x)
        return answers

    def evaluate(
        self, images: NDArray[np.generic], labels: NDArray[np.generic], loss: Loss | None = None
    ) -> Evaluation:
        """Measure accuracy, loss and confusion on images whose classes are known; see `neocog.train.evaluation`."""
        from neocog.train.evaluation import evaluate

        x = checked_arrays(self.graph, images)
        return evaluate(self, ArraySource(x, labels, batch_size=self.images_at_once, shuffle=False).batches(0), loss)

    def _ready_predictor(self) -> Predictor:
        predictor = self._predictor
        if predictor is None:
            predictor = resolve_engine(self.engine).predictor(self.graph, self.parameters, self.threads)
        elif self._predictor_version != self._version:
            predictor.load(self.parameters)
        self._predictor, self._predictor_version = predictor, self._version
        return predictor

    # -- training and files -------------------------------------------------------------------------------------------

    def fit(
        self,
        images: NDArray[np.generic],
        labels: NDArray[np.generic],
        epochs: int = 5,
        batch_size: int = 64,
        *,
        validation_data: tuple[NDArray[np.generic], NDArray[np.generic]] | None = None,
        validation_split: float = 0.0,
        optimizer: Optimizer | None = None,
        loss: Loss | None = None,
        schedule: Schedule | None = None,
        shuffle: bool = True,
        seed: int | None = None,
        patience: int | None = None,
        callbacks: Iterable[Callback] = (),
        verbose: int = 1,
        time_limit: float | None = None,
        threads: int | None = None,
    ) -> History:
        """Train on arrays. For image files and run folders, see `neocog.train.fit.fit`.

        Arguments:
            images: (N, height, width, channels), uint8 or floating-point in [0, 1].
            labels: (N,) class indices; for MeanSquaredError also (N, outputs) targets.
            epochs: passes over the images.
            batch_size: images of an optimizer step.
            validation_data: images and labels that are measured after every epoch, and never trained on.
            validation_split: without `validation_data`: the share of images, in [0, 1), drawn at random for it.
            optimizer: default Adam(0.001).
            loss: default CrossEntropy().
            schedule: default Cosine(warmup=0.05).
            shuffle: whether every epoch has an order of its own.
            seed: decides orders, the split and dropout; default: the model's. Same seed, same bits.
            patience: stop after so many epochs without a better one, and go back to the best one's weights.
            callbacks: what else hears of epochs and batches.
            verbose: 0 silent, 1 progress on stderr, 2 plain lines.
            time_limit: seconds after which training ends; the schedule then follows the clock.
            threads: default: the model's.

        Returns:
            History: loss and accuracy of every epoch.

        Raises:
            ShapeError, DataError, SettingError: arguments that do not fit; NeocogError: the loss is not finite.
        """
        from neocog.train.fit import DEFAULT_LOSS, fit

        loss = loss or DEFAULT_LOSS
        seed = check_seed(self.seed if seed is None else seed)
        x = checked_arrays(self.graph, images)
        y = check_targets(self.graph, loss, labels, len(x))
        held_out: tuple[Images, NDArray[np.generic]] | None = None
        if validation_data is not None:
            held_out_images = checked_arrays(self.graph, validation_data[0])
            held_out = held_out_images, check_targets(self.graph, loss, validation_data[1], len(held_out_images))
        elif validation_split:
            chosen, rest = split_off(len(x), validation_split, seed)
            held_out, (x, y) = (x[chosen], y[chosen]), (x[rest], y[rest])
        learnt_from = identities_of_array(x)
        if held_out is not None:
            learnt_from = np.union1d(learnt_from, identities_of_array(held_out[0]))
        return fit(
            self,
            ArraySource(x, y, batch_size=batch_size, shuffle=shuffle, seed=seed),
            epochs=epochs,
            batch_size=batch_size,
            optimizer=optimizer,
            loss=loss,
            schedule=schedule,
            validation=held_out and ArraySource(*held_out, batch_size=self.images_at_once, shuffle=False),
            patience=patience,
            callbacks=callbacks,
            seed=seed,
            threads=threads,
            verbose=verbose,
            time_limit=time_limit,
            learnt_from=learnt_from,
        )

    def save(self, path: str | Path) -> None:
        """Write one safetensors file with weights, classes and preprocessing; docs/formats.md specifies it.

        What was there is replaced atomically: a failure leaves it as it was. Same model, same bytes.

        Raises:
            NeocogError: the file cannot be written.
        """
        from neocog.train.modelfile import save

        save(self, path)

    def __getstate__(self) -> dict[str, object]:
        # An engine's program cannot be copied to another process; it is made anew there, from the parameters.
        state = {**self.__dict__, "_values": dict(self.parameters), "_source": None, "_predictor": None}
        state["_predictor_version"] = -1
        return state

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__.update(state)
        self.restore(self._values or {}, allow_nonfinite=True)
