"""What a network answers: logits, probabilities and classes of images, through any engine."""

from __future__ import annotations

import functools
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from neocog.data.picture import is_picture
from neocog.engines.base import (
    Array,
    GradientEngine,
    GradientProgram,
    Images,
    Predictor,
    room_for_peaks,
)
from neocog.errors import DataError, SettingError
from neocog.model.answer_settings import AnswerSettings
from neocog.model.arguments import check_count, resolve_engine
from neocog.model.calibration import softmax
from neocog.model.making import make_predictor
from neocog.model.pictures import AnyImages, AnyPicture, decode, in_pieces
from neocog.model.remade import remade
from neocog.model.stream import Answered, AnswerStream
from neocog.model.thresholds import given_labels, sigmoid
from neocog.model.views import PLAIN, VIEWS
from neocog.nn.answer import UNKNOWN
from neocog.nn.graph import Graph
from neocog.nn.limits import shown
from neocog.nn.transfer import node_of, up_to


class Answering(AnswerSettings):
    """The half of a `neocog.model.network.Network` that answers: what it needs for that, and all that it is asked.

    Arguments are those of AnswerSettings.
    """

    def __call__(self, images: AnyImages, *, batch_size: int | None = None) -> Array:
        """Return the logits (N, outputs) of images; (N, height, width, outputs) where the network ends in an image.

        They are those of the images as they are, whatever `views` says: of the network alone.

        Arguments:
            images: (N, height, width, channels), uint8 or floating-point in [0, 1]; grey images may be (N, H, W). Or
                pictures, brought to the network's size as its own were: a path, a file object, the bytes of a file, a
                Pillow image, or a list of these.
            batch_size: that of `predict_proba`.

        Raises:
            ShapeError, DataError: the images are not of the network's size, of another type, or cannot be read.

        Floating-point images must not be normalised where the model does that itself.
        """
        return self._answers(lambda predictor, x: predictor.logits(x, batch_size), images, self.graph.answer_shape)

    def logits(self, images: AnyImages, *, batch_size: int | None = None) -> Array:
        """Return what `__call__` does, as the mean over all `views` of each image: what predictions are made of.

        `batch_size` is that of `predict_proba`.
        """

        def answer(predictor: Predictor, images: Images) -> Array:
            return self._viewed(predictor, images, batch_size)

        return self._answers(answer, images, self.graph.answer_shape)

    def looks(self, images: Images) -> Iterator[tuple[float, Images]]:
        """Yield what the network looks at to answer for images (N, H, W, C), as its `views` say: the images as they
        are, and then others; each with its share in the mean of the logits.
        """
        return ((view.share, view.of(images)) for view in VIEWS[self.views])

    def _viewed(self, predictor: Predictor, images: Images, batch_size: int | None) -> Array:
        if self.views == PLAIN:
            return predictor.logits(images, batch_size)
        each = ((share, predictor.logits(look, batch_size)) for share, look in self.looks(images))
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

        With `reject_below`, -1 (`neocog.nn.answer.UNKNOWN`) where the answer has a lower probability.

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

        >>> from neocog.model.network import Network
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
        return _single(stream.batches(enumerate(pictures)), raising=on_error == "raise")

    def features(self, images: AnyImages, layer: str | int | None = None, *, pooled: bool = False) -> Array:
        """Return what a layer gives for images or pictures, as `__call__` takes them.

        Arguments:
            images: as `__call__` takes them.
            layer: its name or index; default: the last one that takes an image, at the end of the convolutional part.
            pooled: whether the mean of each channel over all pixels is given in place of an image.

        Returns:
            (N, height, width, channels) or (N, features) with `layer`, (N, channels) where it is pooled. Without, (N,
            features), in (row, column, channel) order.

        Raises:
            SettingError: there is no such layer.
            ShapeError, DataError: the images are not of the network's size, of another type, or cannot be read.

        Cost: what stands behind the layer is not computed. A first call for a layer compiles a program of its own.

        >>> from neocog.model.network import Network
        >>> from neocog.nn.blocks import Sequential
        >>> from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
        >>> network = Network(Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(2)), (6, 6, 1), engine="reference")
        >>> images = np.zeros((5, 6, 6), np.uint8)
        >>> network.features(images).shape, network.features(images, "1").shape
        ((5, 32), (5, 4, 4, 2))
        >>> network.features(images, 1, pooled=True).shape
        (5, 2)
        """
        if layer is not None or pooled:
            return self._up_to(self.graph.feature_node if layer is None else layer, pooled)(images)
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

        >>> from neocog.model.network import Network
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

    def outputs(self, images: AnyImages, layers: Sequence[str | int]) -> dict[int, Array]:
        """Return what several layers give for a few images, in one pass.

        Arguments:
            images: as `__call__` takes them.
            layers: names or indices. A convolution counts by itself, in front of its BatchNorm2d and activation.

        Returns:
            index in `graph.nodes` → (N, height, width, channels), or (N, values) of a vector, float32.

        Raises:
            SettingError: there is no such layer.
            ShapeError, DataError: the images are not of the network's size, of another type, or cannot be read.

        Cost: a first call for these layers compiles a program of its own. All that is asked for is kept in memory.

        >>> from neocog.model.network import Network
        >>> from neocog.nn.blocks import Sequential
        >>> from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
        >>> network = Network(Sequential(Conv2d(2, 3), ReLU(), Flatten(), Linear(2)), (6, 6, 1), engine="reference")
        >>> found = network.outputs(np.zeros((5, 6, 6), np.uint8), ["0", -1])
        >>> {layer: output.shape for layer, output in found.items()}
        {0: (5, 4, 4, 2), 3: (5, 2)}
        """
        wanted = [node_of(self.graph, layer).index for layer in layers]
        _, pieces = in_pieces(self.graph, self.resize, images, self.images_at_once)
        found = [self._ready_predictor().outputs(piece, wanted) for piece in pieces]
        return {index: np.concatenate([part[index] for part in found]) for index in sorted(set(wanted))}

    def gradient_program(
        self, graph: Graph, parameters: Mapping[str, Array], value: int, last: int
    ) -> GradientProgram | None:
        """Make a way back through a network, by this one's engine and on its threads: from a gradient of what a layer
        gives to that of a value before it; see `neocog.engines.base.GradientProgram`. It computes with float32.

        Arguments:
            graph: the network, or a part of it.
            parameters: its, in memory layout.
            value: number of the value; -1 is the image.
            last: index of the layer, which depends on it.

        Returns:
            None where the engine has no such programs.

        Cost: that of compiling one.

        >>> from neocog.model.network import Network
        >>> from neocog.nn.blocks import Sequential
        >>> from neocog.nn.layers import Conv2d, Flatten
        >>> network = Network(Sequential(Conv2d(2, 3), Flatten()), (6, 6, 1), engine="reference")
        >>> back = network.gradient_program(network.graph, network.parameters, value=-1, last=0)
        >>> image, gradient = np.zeros((1, 6, 6, 1), np.uint8), np.ones((1, 4, 4, 2), np.float32)
        >>> back.run(image, gradient)[1].shape
        (1, 6, 6, 1)
        """
        engine = resolve_engine(self.engine, "float32")
        if not isinstance(engine, GradientEngine):
            return None
        return engine.gradient_program(graph, parameters, value, last, self.threads)

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

    def _up_to(self, layer: str | int, pooled: bool) -> Answering:
        """Return the network up to a layer; that which was asked for last is kept."""
        key = (node_of(self.graph, layer).index, pooled, self.weights.version)
        if self._part is None or self._part[0] != key:
            self._part = key, remade(self, up_to(self.graph, key[0], pooled=pooled))  # type: ignore[type-var]
        return self._part[1]

    def _ready_predictor(self) -> Predictor:
        predictor, version = self._predictor, self.weights.version
        if predictor is None:
            predictor = make_predictor(self)
        elif self._predictor_version != version:
            predictor.load(self.weights.arrays)
        self._predictor, self._predictor_version = predictor, version
        return predictor

    def __getstate__(self) -> dict[str, object]:
        # An engine's program cannot be copied to another process; it is made anew there, from the weights.
        return {**self.__dict__, "_predictor": None, "_predictor_version": -1, "_part": None}


def _single(batches: Generator[list[Answered[Any]]], *, raising: bool) -> Iterator[Array | DataError]:
    """Yield the answers of batches one by one."""
    with closing(batches):
        for batch in batches:
            for _, answer in batch:
                if raising and isinstance(answer, DataError):
                    raise answer
                yield answer
