"""A network with its weights, class names and preprocessing: what is asked, and what training changes."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from copy import copy
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from neocog.data.identity import NOBODY, Identities
from neocog.data.picture import is_picture
from neocog.data.resize import DEFAULT_RESIZE, ResizeRule, check_rule
from neocog.engines.base import Array, Engine, Images, Predictor, State, room_for_peaks
from neocog.errors import DataError, SettingError
from neocog.model.arguments import check_count, check_names, check_numbers, check_seed, resolve_engine
from neocog.model.calibration import UNKNOWN, Calibration, Reject, softmax
from neocog.model.origin import Origin
from neocog.model.pictures import AnyImages, AnyPicture, decode, in_pieces, piece_size
from neocog.model.statedict import from_state_dict, split_identities
from neocog.model.stream import AnswerStream, singly
from neocog.model.thresholds import Thresholds, check_thresholds, given_labels, sigmoid
from neocog.model.views import PLAIN, VIEWS, Views, check_views
from neocog.model.weights import Weights
from neocog.nn.branches import fold_branches
from neocog.nn.graph import Graph, Normalisation, trace
from neocog.nn.layer import Layer
from neocog.nn.limits import is_number, shown
from neocog.nn.losses import CrossEntropy, Loss
from neocog.nn.parameters import Initialisation, initial_parameters, to_pytorch, variables_of
from neocog.nn.shapes import ImageShape
from neocog.nn.summary import format_summary, summary_html

COLOR_ORDERS = {1: "L", 3: "RGB", 4: "RGBA"}
"""What the channels of an image mean, under Pillow's names."""


class Network:
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
    ) -> None:
        if not isinstance(net, Layer):
            raise SettingError(f"net must be a layer or block, got {net!r}", hint="write Sequential(layer, layer, ...)")
        if initialisation not in ("he", "glorot"):
            raise SettingError(f'initialisation must be "he" or "glorot", got {initialisation!r}')
        self.graph: Graph = trace(
            net, input_shape, Normalisation(check_numbers("mean", mean), check_numbers("std", std))
        )
        if not isinstance(loss, Loss | None):
            raise SettingError(f"loss must be of the type Loss, got {loss!r}", hint="write loss=nc.CrossEntropy()")
        self.loss: Loss = CrossEntropy() if loss is None else loss
        self.loss.check_outputs(self.graph.classes)
        self.class_names: tuple[str, ...] = check_names(class_names, self.graph.classes)
        self.images_at_once: int = piece_size(self.graph)
        """How many images the engine gets at a time, so that memory stays bounded; of large images fewer."""
        self.seed: int = check_seed(seed)
        self.resize: ResizeRule = check_rule(resize)
        self.views = views
        self._engine: str | Engine = engine
        self._threads: int | None = None if threads is None else check_count("threads", threads)
        self.metrics: dict[str, float] = {}
        """What was measured when the model was trained, such as "val_accuracy"; saved with it."""
        self.learnt_from: Identities | None = NOBODY
        """Which images shaped it (see `neocog.data.identity`), so that it is not measured on them by mistake; saved
        with it. None: not known, as where the weights came from elsewhere."""
        self.origin: Origin | None = None
        """Where its first weights came from, if not from here; saved with it, and kept where it is trained further."""
        self.calibration: Calibration | None = None
        """What validation images say of its probabilities, as `neocog.Model.calibrate` finds it; saved with it."""
        self._reject_below: float | None = None
        graph, drawn_from = self.graph, self.seed
        self.weights: Weights = Weights(graph, lambda: initial_parameters(graph, drawn_from, initialisation))
        self._predictor: Predictor | None = None
        self._predictor_version = -1
        self._thresholds: Thresholds | None = None

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
    def views(self) -> Views:
        """How it looks at an image where it answers; see `neocog.model.views`.

        Raises:
            SettingError: there is no such way, or not for this network.
        """
        return self._views

    @views.setter
    def views(self, views: Views) -> None:
        self._views: Views = check_views(views, self.graph)

    @property
    def engine(self) -> str | Engine:
        """The engine: "native", "reference" or "torch", or an Engine. Another one gives the next answer."""
        return self._engine

    @engine.setter
    def engine(self, engine: str | Engine) -> None:
        self._engine, self._predictor = engine, None

    @property
    def thresholds(self) -> Thresholds | None:
        """Where an image may have several labels, the probability above which each label is given; None: a half. Saved
        with the model; `neocog.Model.fit_thresholds` finds them, and training on sets them back to None.

        Raises:
            SettingError: they are no numbers from 0 to 1, or an image has one class.
            ShapeError: they are neither one number, nor one for each label.
        """
        return self._thresholds

    @thresholds.setter
    def thresholds(self, values: float | Sequence[float] | None) -> None:
        if values is not None and not self.loss.several_labels:
            raise SettingError(
                "thresholds need a model for several labels an image, this one gives one class",
                hint="such a model is trained with loss=nc.BinaryCrossEntropy()",
            )
        self._thresholds = None if values is None else check_thresholds(values, len(self.class_names))

    @property
    def reject_below(self) -> float | None:
        """The probability below which an answer is "unknown"; None: each is given. Saved with the model; see `reject`.

        Raises:
            SettingError: it is no number from 0 to 1.
        """
        return self._reject_below

    @reject_below.setter
    def reject_below(self, value: float | None) -> None:
        if value is not None and not (is_number(value) and 0 <= value <= 1):
            raise SettingError(f"reject_below must be a number from 0 to 1, or None, got {shown(value)}")
        self._reject_below = None if value is None else float(value)

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

        What the model learnt from, and its `origin`, are then not known any more: whoever made the parameters knows,
        and does not say. Nor does what was found of its probabilities hold: `thresholds`, `calibration`,
        `reject_below`.
        """
        self.restore(values, allow_nonfinite=allow_nonfinite)
        self.learnt_from = self.origin = self.thresholds = self.calibration = self.reject_below = None

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

        It can be saved, and what a training would have moved in those layers is not there any more.
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
        )
        twin.restore(parameters)
        twin.metrics, twin.learnt_from, twin.origin = dict(self.metrics), self.learnt_from, self.origin
        twin.thresholds, twin.calibration, twin.reject_below = self.thresholds, self.calibration, self.reject_below
        return twin

    # -- answers ------------------------------------------------------------------------------------------------------

    def __call__(self, images: AnyImages) -> Array:
        """Return the logits (N, outputs) of images; (N, height, width, outputs) where the network ends in an image.

        They are those of the images as they are, whatever `views` says: of the network alone.

        Arguments:
            images: (N, height, width, channels), uint8 or floating-point in [0, 1]; grey images may be (N, H, W). Or
                pictures, brought to the network's size as its own were: a path, a file object, the bytes of a file, a
                Pillow image, or a list of these.

        Raises:
            ShapeError, DataError: the images are not of the network's size, of another type, or cannot be read.

        Floating-point images must not be normalised where the model does that itself.
        """
        return self._answers(lambda predictor, x: predictor.logits(x), images, self.graph.answer_shape)

    def logits(self, images: AnyImages, *, batch_size: int | None = None) -> Array:
        """Return what `__call__` does, as the mean over all `views` of each image: what predictions are made of.

        `batch_size` is that of `predict_proba`.
        """

        def answer(predictor: Predictor, images: Images) -> Array:
            return self._viewed(predictor, images, batch_size)

        return self._answers(answer, images, self.graph.answer_shape)

    def _viewed(self, predictor: Predictor, images: Images, batch_size: int | None) -> Array:
        if self.views == PLAIN:
            return predictor.logits(images, batch_size)
        each = ((view.share, predictor.logits(view.of(images), batch_size)) for view in VIEWS[self.views])
        mean = sum(share * logits.astype(np.float64) for share, logits in each)
        answers: Array = np.asarray(mean).astype(np.float32)
        return answers

    def predict_proba(self, images: AnyImages, *, batch_size: int | None = None) -> Array:
        """Return the probabilities (N, outputs) of images or pictures, as `__call__` takes them: the softmax of the
        `logits`, of each pixel where the network ends in an image. Where an image may have several labels, which is
        where the model was trained with BinaryCrossEntropy, the sigmoid: one probability for each label.

        Logits are divided by the `temperature` first, so that a calibrated model's probabilities are as high as its
        answers are often right. All is computed in float64 and rounded to float32, so that equal logits give equal
        probabilities whatever the engine.

        An image gets the same bits, whatever comes with it, each time that `batch_size` is the same: by default, the
        number of images decides which algorithms are the fastest, and these round differently.
        """
        logits = self.logits(images, batch_size=batch_size)
        return sigmoid(logits) if self.loss.several_labels else softmax(logits, self.temperature)

    def predict(self, images: AnyImages) -> NDArray[np.int64]:
        """Return the class indices (N,) of images or pictures, as `__call__` takes them; the first of equally likely
        ones. Where the network ends in an image, (N, height, width). Names: `class_names[index]`.

        With `reject_below`, -1 (`neocog.model.calibration.UNKNOWN`) where the answer has a lower probability.

        Where an image may have several labels, rows (N, outputs): 1 for each label of a probability above its threshold
        (see `thresholds`; a half if it has none), else 0; as scikit-learn has them.
        """
        if self.loss.several_labels:
            return given_labels(self.predict_proba(images), self.thresholds).astype(np.int64)
        logits = self.logits(images)
        indices: NDArray[np.int64] = logits.argmax(axis=-1).astype(np.int64)
        if self.reject_below is not None:
            indices[softmax(logits, self.temperature).max(axis=-1) < self.reject_below] = UNKNOWN
        return indices

    @property
    def temperature(self) -> float:
        """What logits are divided by before they become probabilities; 1.0 until `neocog.Model.calibrate` finds one."""
        return 1.0 if self.calibration is None else self.calibration.temperature

    def reject(self, wanted: str | Reject | None) -> None:
        """Withhold the answers that the network is least certain of: set `reject_below` by what validation images say.

        Arguments:
            wanted: "coverage=0.9": so many that nine tenths of the images are answered; "precision=0.95": as few as
                needed for 95 % of the answers to be right; None: none.

        Raises:
            SettingError: it is none of these, or there is no `calibration`.
            NeocogError: no threshold gives the precision.
        """
        if wanted is None:
            self.reject_below = None
            return
        rule = wanted if isinstance(wanted, Reject) else Reject.parse(wanted)
        if self.calibration is None:
            raise SettingError(
                "rejecting needs a calibration, and this model has none",
                hint="model.calibrate(images, labels) makes one, of images that it was not trained on",
            )
        self.reject_below = self.calibration.threshold(rule)

    def stream(
        self,
        pictures: Iterable[AnyPicture],
        *,
        batch_size: int = 64,
        workers: int | None = None,
        on_error: Literal["raise", "return"] = "raise",
    ) -> Iterator[Array | DataError]:
        """Yield the probabilities (outputs,) of each picture, as `predict_proba` gives them, in order and in constant
        memory: of as many pictures as there are, which may be without end.

        Arguments:
            pictures: read lazily. Each may be a path, the bytes of a file, a file object, a Pillow image, or an array
                (H, W), (H, W, C) or (C, H, W), of any size, uint8 or floating-point in [0, 1].
            batch_size: pictures that are answered together; with the same number, a picture gets the same bits whatever
                comes with it. With 1, each is answered before the next one is read, as
                from a camera; with more, pictures must stay as they are until they are answered.
            workers: threads that decode; default: one for each processor, at most 8, but none for a batch of 1.
            on_error: whether a picture that cannot be read ends it ("raise"), or gives its error in its place
                ("return").

        Raises:
            SettingError: an argument is out of its range. DataError: a picture cannot be read, when it is due.

        >>> from neocog.nn.blocks import Sequential
        >>> from neocog.nn.layers import Flatten, Linear
        >>> network = Network(Sequential(Flatten(), Linear(2)), (6, 6, 1), engine="reference")
        >>> frames = (np.full((60, 80, 3), number, np.uint8) for number in range(5))
        >>> [probabilities.shape for probabilities in network.stream(frames, batch_size=1)]
        [(2,), (2,), (2,), (2,), (2,)]
        """
        if on_error not in ("raise", "return"):
            raise SettingError(f'on_error must be "raise" or "return", got {on_error!r}')
        if is_picture(pictures) or not isinstance(pictures, Iterable):
            raise DataError(
                f"stream takes pictures one after another, got {shown(type(pictures).__name__)}",
                hint="write [picture], or ask predict_proba(picture)",
            )
        batch_size = min(check_count("batch_size", batch_size), self.images_at_once)
        stream: AnswerStream[tuple[int, AnyPicture]] = AnswerStream(
            functools.partial(self.predict_proba, batch_size=batch_size),
            lambda numbered: decode(numbered[1], self.graph.input, self.resize, name=f"image {numbered[0]}"),
            batch_size=batch_size,
            workers=0 if workers is None and batch_size == 1 else workers,
        )
        return singly(stream.batches(enumerate(pictures)), raising=on_error == "raise")

    def features(self, images: AnyImages) -> Array:
        """Return (N, features) of images or pictures, as `__call__` takes them: what the convolution part hands to the
        rest, in (row, column, channel) order.
        """
        width = self.graph.nodes[self.graph.feature_node].output.size
        return self._answers(lambda predictor, x: predictor.features(x), images, (width,))

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
        >>> network = Network(Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(2)), (6, 6, 1))
        >>> {layer: peaks.shape for layer, peaks in network.peaks(np.zeros((5, 6, 6), np.uint8)).items()}
        {0: (5, 2)}
        """
        count, pieces = in_pieces(self.graph, self.resize, images, self.images_at_once)
        answers, done = room_for_peaks(self.graph, count), 0
        for x in pieces:
            for layer, peaks in self._ready_predictor().peaks(x).items():
                answers[layer][done : done + len(x)] = peaks
            done += len(x)
        return answers

    def _answers(
        self, compute: Callable[[Predictor, Images], Array], images: AnyImages, shape: tuple[int, ...]
    ) -> Array:
        count, pieces = in_pieces(self.graph, self.resize, images, self.images_at_once)
        answers, done = np.empty((count, *shape), np.float32), 0
        for x in pieces:
            found = compute(self._ready_predictor(), x)
            if len(x) == count:
                return found
            answers[done : done + len(x)] = found
            done += len(x)
        return answers

    def _ready_predictor(self) -> Predictor:
        predictor, version = self._predictor, self.weights.version
        if predictor is None:
            predictor = resolve_engine(self.engine).predictor(self.graph, self.parameters, self.threads)
        elif self._predictor_version != version:
            predictor.load(self.parameters)
        self._predictor, self._predictor_version = predictor, version
        return predictor

    def __getstate__(self) -> dict[str, object]:
        # An engine's program cannot be copied to another process; it is made anew there, from the weights.
        return {**self.__dict__, "_predictor": None, "_predictor_version": -1}

    def __copy__(self) -> Self:
        twin = object.__new__(type(self))
        twin.__dict__.update(self.__getstate__(), weights=copy(self.weights))  # which have one owner
        return twin
