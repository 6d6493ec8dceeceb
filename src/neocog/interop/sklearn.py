"""scikit-learn's estimators: a classifier, and a transformer that gives a network's features to other estimators.

They keep scikit-learn's contract (its own checks run in the tests), so they work in pipelines, grid searches and
cross-validation. A pickle of one holds the model as the bytes of its model file, which are checked, and hold no code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from neocog.data.arrays import ArrayDataset
from neocog.data.resize import ImageSize
from neocog.engines.base import Engine
from neocog.engines.precision import Precision
from neocog.errors import NeocogError, SettingError
from neocog.interop.scaling import Scaling, Shape
from neocog.model.modelfile import model_bytes, network_from_bytes
from neocog.model.network import Network
from neocog.nn.blocks import Sequential
from neocog.nn.graph import Graph
from neocog.nn.layer import Layer
from neocog.nn.layers import Conv2d, Flatten, Linear, ReLU
from neocog.nn.losses import CrossEntropy, Loss
from neocog.nn.optimizers import Optimizer
from neocog.nn.schedules import Schedule
from neocog.nn.shapes import ImageShape
from neocog.nn.zoo import make_net
from neocog.train.callbacks import Callback
from neocog.train.model import Model, load
from neocog.train.named import OPTIMIZER_NAMES, make_optimizer
from neocog.train.pictures import channel_statistics
from neocog.train.recipe import choose_epochs

try:
    from sklearn.base import (
        BaseEstimator,
        ClassifierMixin,
        ClassNamePrefixFeaturesOutMixin,
        TransformerMixin,
        clone,
    )
    from sklearn.utils import check_random_state
    from sklearn.utils.class_weight import compute_class_weight
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, column_or_1d, validate_data
except ImportError as error:
    raise ImportError(
        f"neocog.interop.sklearn needs scikit-learn 1.6 or newer ({error}): pip install 'neocog[sklearn]'"
    ) from None

HIDDEN = 64
"""Values of each hidden layer of the network for rows of measurements."""

ROWS_SEEN = 200_000
MOST_EPOCHS = 200
ROWS_RATE = 0.005
"""Learning rate where rows of measurements are learnt and none is given."""

NetLike = Layer | str | Callable[[int], Layer]


class _KeepsModels(BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """An estimator whose models are pickled as model files."""

    def __getstate__(self) -> dict[str, Any]:
        state = super().__getstate__()
        found = {name: value for name, value in state.items() if isinstance(value, Network)}
        files = {
            name: (model_bytes(model), model.engine, model.threads, model.precision) for name, model in found.items()
        }
        return {**state, **dict.fromkeys(found), "_model_files": files}

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        for name, (content, engine, threads, precision) in state.pop("_model_files", {}).items():
            where = f"the {name} of a {type(self).__name__}"
            state[name] = network_from_bytes(where, content, Model, engine=engine, threads=threads)
            state[name].precision = precision
        super().__setstate__(state)


class NeocogClassifier(ClassifierMixin, _KeepsModels):  # type: ignore[misc]
    """A convolutional network as a scikit-learn classifier.

    X are images (N, height, width, channels) or (N, height, width), uint8 or floating-point; or rows (N, features),
    which are images if `image_shape` says so, and else measurements, each scaled to deviation 1. Images whose values
    are neither uint8 nor within [0, 1] are scaled to that by the least and the largest value of the training data.

    Arguments:
        net: the network: layers with an output for each class, a function that gives such for a number of classes, or a
            name that `neocog models` lists; "auto" fits the images.
        image_shape: (height, width, channels) of an image, pixels, where X has rows of that many numbers.
        epochs: passes over the data; None: as `neocog train` chooses them for images, or, for rows, enough to show
            200,000, at most 200.
        batch_size: images of a step.
        learning_rate: None: the optimizer's own, or 0.005 for rows.
        optimizer: an Optimizer, or its name.
        schedule: None: TrainingSettings'.
        class_weight: how much each class counts: a dict of labels, "balanced", or None for all alike.
        validation_fraction: share of the data that is measured after every epoch and not trained on, in [0, 1).
        patience: stop after so many epochs without a better one, and keep the best.
        settings: further settings of a training by name, as TrainingSettings has them, such as {"ema": 0.99}.
        callbacks: what else hears of epochs and batches.
        random_state: decides first weights and orders. The same number gives the same bits, on any number of threads;
            None draws another each time.
        engine, threads, precision: as for Model.
        verbose: 0 silent, 1 progress, 2 plain lines.

    Attributes:
        model_: the trained neocog.Model; `model_.save(path)` writes its file. It sees what `scaling_` makes of X.
        classes_: labels, in the order of `predict_proba`'s columns.
        history_: every epoch of the training.
        scaling_: how X becomes images.
        n_features_in_, n_iter_: columns of X, and epochs.

    Raises:
        ValueError, and so every error of neocog about arguments and data: what does not fit.

    Single samples cannot be weighted: the engine weighs classes.

    >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [0.1, 0.9], [0.8, 0.2]])
    >>> classifier = NeocogClassifier(engine="reference", epochs=50).fit(X, ["cat", "dog", "cat", "dog"])
    >>> classifier.predict([[0.05, 0.95]])
    array(['cat'], dtype='<U3')
    """

    def __init__(
        self,
        net: NetLike = "auto",
        *,
        image_shape: Shape | None = None,
        epochs: int | None = None,
        batch_size: int = 64,
        learning_rate: float | None = None,
        optimizer: Optimizer | str = "adam",
        schedule: Schedule | None = None,
        class_weight: Mapping[Any, float] | str | None = None,
        validation_fraction: float = 0.0,
        patience: int | None = None,
        settings: Mapping[str, Any] | None = None,
        callbacks: Iterable[Callback] = (),
        random_state: int | np.random.RandomState | None = 0,
        engine: str | Engine = "native",
        threads: int | None = None,
        precision: Precision = "float32",
        verbose: int = 0,
    ) -> None:
        self.net = net
        self.image_shape = image_shape
        self.epochs = epochs
        self.batch_size = batch_size
        self.learning_rate = learning_rate
        self.optimizer = optimizer
        self.schedule = schedule
        self.class_weight = class_weight
        self.validation_fraction = validation_fraction
        self.patience = patience
        self.settings = settings
        self.callbacks = callbacks
        self.random_state = random_state
        self.engine = engine
        self.threads = threads
        self.precision = precision
        self.verbose = verbose

    def fit(self, X: Any, y: Any) -> Self:
        """Train a new network on X and its labels y (N,), of any type that scikit-learn takes; return the estimator."""
        X, y = validate_data(self, X, y, allow_nd=True)
        y = column_or_1d(y, warn=True)
        check_classification_targets(y)
        self.classes_, labels = np.unique(y, return_inverse=True)
        self.scaling_ = Scaling.of(X, self.image_shape)
        images = self.scaling_.images(X)
        seed = self.random_state
        if not isinstance(seed, int | np.integer):
            seed = check_random_state(seed).randint(2**31 - 1)
        given = dict(self.settings or {})
        loss = self._loss(given.pop("loss", None), y)
        shape = ImageShape(*self.scaling_.shape)
        mean: tuple[float, ...] = (0.0,)
        std: tuple[float, ...] = (1.0,)
        if not self.scaling_.measurements:
            data = ArrayDataset(images, labels, layout="NHWC")
            mean, std = channel_statistics(data, ImageSize(*self.scaling_.shape))
        model = Model(
            self._net(shape),
            shape,
            [str(label) for label in self.classes_],
            seed=int(seed),
            mean=mean,
            std=std,
            engine=self.engine,
            threads=self.threads,
            precision=self.precision,
        )
        self.history_ = model.fit(
            images,
            labels,
            self._epochs(model.graph, len(X), given),  # type: ignore[arg-type]  # None is for the time limit to decide
            min(self.batch_size, len(X)) if isinstance(self.batch_size, int) else self.batch_size,
            validation_split=self.validation_fraction,
            callbacks=self.callbacks,
            verbose=self.verbose,
            optimizer=self._optimizer(),
            schedule=self.schedule,
            loss=loss,
            patience=self.patience,
            **given,
        )
        self.model_, self.n_iter_ = model, len(self.history_)
        return self

    def predict_proba(self, X: Any) -> NDArray[np.float64]:
        """Return the probabilities (N, classes) of X, in the order of `classes_`; each row adds up to 1."""
        images = self._images(X)
        shares = self.model_.predict_proba(images).astype(np.float64)
        probabilities: NDArray[np.float64] = shares / shares.sum(axis=1, keepdims=True)
        return probabilities

    def predict(self, X: Any) -> NDArray[Any]:
        """Return the labels (N,) of X; the first of equally likely ones."""
        places = self.predict_proba(X).argmax(axis=1)
        labels: NDArray[Any] = self.classes_[places]
        return labels

    def features(self, X: Any) -> NDArray[np.float32]:
        """Return (N, features): what the convolutional part of the network hands to the rest."""
        images = self._images(X)
        return self.model_.features(images)

    def _images(self, X: Any) -> Any:
        check_is_fitted(self, "model_")
        return self.scaling_.images(validate_data(self, X, reset=False, allow_nd=True))

    def _net(self, shape: ImageShape) -> Layer:
        classes = len(self.classes_)
        if isinstance(self.net, Layer):
            return self.net
        if self.net == "auto" and self.scaling_.measurements:
            # Fully connected layers, written as convolutions of the one pixel, so that they count as features.
            hidden = (Conv2d(HIDDEN, 1), ReLU(), Conv2d(HIDDEN, 1), ReLU())
            return Sequential(*hidden, Flatten(), Linear(classes))
        if isinstance(self.net, str):
            return make_net(self.net, shape, classes)
        if callable(self.net):
            return self.net(classes)
        raise SettingError(f"net must be layers, a function of the number of classes, or a name, got {self.net!r}")

    def _epochs(self, graph: Graph, samples: int, given: Mapping[str, Any]) -> int | None:
        if self.epochs is not None or given.get("time_limit") is not None:
            return self.epochs
        if self.scaling_.measurements:
            return max(1, min(MOST_EPOCHS, ROWS_SEEN // samples))
        return choose_epochs(graph, samples)

    def _optimizer(self) -> Optimizer:
        rate = self.learning_rate
        if isinstance(self.optimizer, Optimizer):
            return self.optimizer if rate is None else replace(self.optimizer, learning_rate=rate)
        if self.optimizer not in OPTIMIZER_NAMES:
            raise SettingError(
                f"optimizer must be an Optimizer or one of {', '.join(OPTIMIZER_NAMES)}, got {self.optimizer!r}"
            )
        if rate is None and self.scaling_.measurements and self.optimizer == "adam":
            rate = ROWS_RATE
        return make_optimizer(self.optimizer, rate, None, None)

    def _loss(self, loss: Loss | None, y: NDArray[Any]) -> Loss:
        loss = CrossEntropy() if loss is None else loss
        if self.class_weight is None:
            return loss
        if not isinstance(loss, CrossEntropy):
            raise SettingError(f"class_weight needs the loss CrossEntropy, got {loss!r}")
        return replace(loss, weights=tuple(compute_class_weight(self.class_weight, classes=self.classes_, y=y)))


class NeocogTransformer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, _KeepsModels):  # type: ignore[misc]
    """The features of a convolutional network as a scikit-learn transformer: X becomes (N, features).

    Arguments:
        model: what gives them: a trained neocog.Model, or the path of a model file, which `fit` leaves as it is; or an
            estimator such as NeocogClassifier, of which `fit` trains a copy on X and y; None: NeocogClassifier().

    Attributes:
        model_: the trained Model, or estimator.
        n_features_in_: columns of X.

    >>> X = np.array([[0.0, 1.0], [1.0, 0.0], [0.1, 0.9], [0.8, 0.2]])
    >>> features = NeocogTransformer(NeocogClassifier(engine="reference", epochs=5)).fit_transform(X, [0, 1, 0, 1])
    >>> features.shape
    (4, 64)
    """

    def __init__(self, model: Any = None) -> None:
        self.model = model

    def fit(self, X: Any, y: Any = None) -> Self:
        """Train a copy of the estimator on X and y; a trained model stays as it is, and needs no y."""
        if isinstance(self.model, Network | str | PathLike):
            X = validate_data(self, X, allow_nd=True)
            self.model_ = self.model if isinstance(self.model, Network) else load(Path(self.model))
            self._n_features_out = self.model_.features(self._images(X[:1])).shape[1]
            return self
        if y is None:
            raise ValueError(f"{type(self).__name__} requires y to be passed, but the target y is None")
        X, y = validate_data(self, X, y, allow_nd=True)
        estimator = NeocogClassifier() if self.model is None else clone(self.model)
        if not hasattr(estimator, "features"):
            raise NeocogError(f"model must be a Model, a model file or a NeocogClassifier, got {self.model!r}")
        self.model_ = estimator.fit(X, y)
        self._n_features_out = self.model_.features(X[:1]).shape[1]
        return self

    def transform(self, X: Any) -> NDArray[np.float32]:
        """Return the features (N, features) of X."""
        check_is_fitted(self, "model_")
        X = validate_data(self, X, reset=False, allow_nd=True)
        features: NDArray[np.float32] = self.model_.features(self._images(X) if isinstance(self.model_, Network) else X)
        return features

    def _images(self, X: NDArray[Any]) -> NDArray[Any]:
        shape = self.model_.input_shape
        return X.reshape(-1, *shape) if X.ndim == 2 and X.shape[1] == np.prod(shape) else X

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.required = not isinstance(self.model, Network | str | PathLike)
        tags.transformer_tags.preserves_dtype = ["float32"]
        return tags
