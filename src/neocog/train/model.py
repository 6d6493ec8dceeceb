"""A network that can be trained, measured, saved and loaded: what `neocog.Model` and `neocog.load` are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from neocog.data.identity import identities_of_array, union
from neocog.engines.base import Engine
from neocog.engines.precision import Precision
from neocog.engines.targets import check_targets
from neocog.errors import SettingError
from neocog.model import modelfile
from neocog.model.calibration import Calibration, Reject
from neocog.model.network import Network
from neocog.model.pictures import checked_arrays
from neocog.model.remade import for_classes, remade
from neocog.nn.limits import shown
from neocog.nn.losses import Loss
from neocog.nn.transfer import with_norms
from neocog.ranks.world import World
from neocog.train.arrays import Arrays, Labelled
from neocog.train.calibrate import calibrate
from neocog.train.callbacks import Callback
from neocog.train.evaluation import Evaluation, evaluate
from neocog.train.fine_tune import fine_tune
from neocog.train.fit import fit
from neocog.train.given import Given, MoreGiven, settled, takes_settings
from neocog.train.history import History
from neocog.train.labels import LabelsEvaluation
from neocog.train.lr_find import RateCurve, lr_find
from neocog.train.quantise import MAX_DROP, Quantised, quantise
from neocog.train.source import ArraySource
from neocog.train.thresholds import fit_thresholds_on
from neocog.train.tuning import tuning_for


class FineTuned(NamedTuple):
    """What `Model.fine_tune` gives: the model, and how it learnt."""

    model: Model
    history: History


class Model(Network):
    """A network that can be trained and saved; `Network` says what it is made with, and what it answers.

    >>> from neocog.nn.blocks import Sequential
    >>> from neocog.nn.layers import Flatten, Linear
    >>> from neocog.nn.optimizers import Adam
    >>> model = Model(Sequential(Flatten(), Linear(2)), (2, 2, 1), ["left", "right"], engine="reference")
    >>> images = np.array([[[1, 0], [1, 0]], [[0, 1], [0, 1]]], np.float32)
    >>> model.fit(images, np.array([0, 1]), epochs=30, optimizer=Adam(0.1), verbose=0).best.accuracy
    1.0
    """

    def evaluate(
        self, images: NDArray[np.generic], labels: NDArray[np.generic], loss: Loss | None = None
    ) -> Evaluation | LabelsEvaluation:
        """Measure accuracy, loss and more on images whose labels are known; see `neocog.train.evaluation`.

        Arguments:
            images, labels: as `fit` takes them.
            loss: default: what the model was trained with. It decides what is measured: with several labels an image
                (BinaryCrossEntropy), a LabelsEvaluation.
        """
        x = checked_arrays(self.graph, images)
        return evaluate(self, ArraySource(x, labels, batch_size=self.images_at_once, shuffle=False).batches(0), loss)

    def calibrate(
        self,
        images: NDArray[np.generic],
        labels: NDArray[np.generic],
        *,
        reject: str | None = None,
    ) -> Calibration:
        """Fit the temperature of the model's probabilities, so that of the answers of 80 % about 80 % are right.

        The model keeps it, as `calibration`, until its weights change, and so do files. No answer changes. The model
        then knows these images (`learnt_from`), so that it is not measured on them by mistake: probabilities look a
        little better on the images that they were fitted on.

        Arguments:
            images: (N, height, width, channels), as `fit` takes them, of those that the model was not trained on: it is
                far too sure of the others.
            labels: (N,) class indices.
            reject: which answers to withhold from then on, such as "coverage=0.9"; see `reject`.

        Returns:
            Calibration: its `temperature` is 1.0 where these images do not say which is best, as where all answers are
            right.

        Raises:
            DataError, ShapeError: arguments that do not fit.
            SettingError: the model gives several labels an image, or answers for pixels.

        >>> from neocog.nn.blocks import Sequential
        >>> from neocog.nn.layers import Flatten, Linear
        >>> model = Model(Sequential(Flatten(), Linear(2)), (1, 2, 1), ["left", "right"], engine="reference")
        >>> model.load_parameters({"1.weight": 4 * np.eye(2), "1.bias": np.zeros(2)})
        >>> images = np.array([[[1, 0]]] * 3, np.float32)  # of which the model is sure with 98 %
        >>> round(model.calibrate(images, np.array([0, 0, 1])).temperature, 3)
        5.771
        >>> print(model.predict_proba(images[:1]).round(3))
        [[0.667 0.333]]
        """
        x = checked_arrays(self.graph, images)
        source = ArraySource(x, labels, batch_size=self.images_at_once, shuffle=False)
        found = calibrate(self, source.batches(0), reject=None if reject is None else Reject.parse(reject))
        self.learnt_from = union(self.learnt_from, identities_of_array(x))
        return found

    @takes_settings
    def fit(
        self,
        images: NDArray[np.generic],
        labels: NDArray[np.generic],
        epochs: int = 5,
        batch_size: int = 64,
        *,
        validation_data: tuple[NDArray[np.generic], NDArray[np.generic]] | None = None,
        validation_split: float = 0.0,
        shuffle: bool = True,
        callbacks: Iterable[Callback] = (),
        verbose: int = 1,
        threads: int | None = None,
        world: World | None = None,
        fast_reduce: bool = False,
        **given: Unpack[MoreGiven],
    ) -> History:
        """Train on arrays. For image files and run folders, see `neocog.train.fit.fit`.

        Arguments:
            images: (N, height, width, channels), uint8 or floating-point in [0, 1].
            labels: (N,) class indices. Also rows (N, outputs): for CrossEntropy of probabilities, for
                BinaryCrossEntropy of 0 and 1, one for each label that an image may have, for MeanSquaredError of any
                numbers. Of networks that end in an image: (N, height, width), and (N, height, width, outputs).
            epochs: passes over the images.
            batch_size: images of an optimizer step.
            validation_data: images and labels that are measured after every epoch, and never trained on.
            validation_split: without `validation_data`: the share of the images of each class, in [0, 1), that are held
                out for it, by content and seed; equal images stay together. A class gives at least one, if it has two
                that differ.
            shuffle: whether every epoch has an order of its own.
            callbacks: what else hears of epochs and batches.
            verbose: 0 silent, 1 progress on stderr, 2 plain lines.
            threads: default: the model's.
            world: the processes that share this training, any object with rank, size, all_reduce, broadcast and
                barrier (see `neocog.ranks.world`); each calls `fit` with the same arguments, all images among them.
            fast_reduce: whether gradients are added up in an order of the world's, so that the number of processes
                changes their rounding.
            given: further settings, as `TrainingSettings` has them, such as optimizer and patience. With `patience` the
                model ends with the best epoch's weights.

        Returns:
            History: loss and accuracy of every epoch.

        Raises:
            ShapeError, DataError, SettingError: arguments that do not fit; NeocogError: the loss is not finite.
        """
        settings = settled(
            {**given, "epochs": epochs, "batch_size": batch_size},
            seed=self.seed,
            loss=self.loss,
            precision=self.precision,
        )
        arrays = Arrays.of(
            self,
            settings.loss,
            images,
            labels,
            validation_data=validation_data,
            validation_split=validation_split,
            seed=settings.seed,
        )
        return fit(
            self,
            ArraySource(*arrays.own, batch_size=settings.batch_size, shuffle=shuffle, seed=settings.seed),
            validation=arrays.validation(self.images_at_once),
            callbacks=callbacks,
            threads=threads,
            verbose=verbose,
            learnt_from=arrays.learnt_from,
            world=world,
            fast_reduce=fast_reduce,
            **settings.given(),
        )

    @takes_settings
    def fine_tune(
        self,
        images: NDArray[np.generic],
        labels: NDArray[np.generic],
        class_names: Sequence[str],
        *,
        head_only: bool = False,
        batch_norm: Literal["frozen", "live"] = "frozen",
        validation_data: tuple[NDArray[np.generic], NDArray[np.generic]] | None = None,
        validation_split: float = 0.0,
        callbacks: Iterable[Callback] = (),
        verbose: int = 1,
        threads: int | None = None,
        **given: Unpack[Given],
    ) -> FineTuned:
        """Train a new model for other classes that begins with this one, which stays as it is.

        Its head, the last layer, is replaced. It is trained first, on features of the images, which are computed once;
        then all layers are, early ones more slowly. See `neocog.train.tuning`.

        Arguments:
            images, labels, validation_data, validation_split, callbacks, verbose, threads: as `fit` takes them.
            class_names: one for each class.
            head_only: whether it ends with the head.
            batch_norm: whether BatchNorm2d layers keep their statistics ("frozen") or learn those of the images
                ("live").
            given: settings of the training of all layers, or of the head's where it is alone, as `TrainingSettings` has
                them, such as epochs, freeze="blocks.0" and augment. The head sees mirror images too where `augment` has
                RandomFlip.

        Returns:
            FineTuned: the model, and the history of both phases.

        Raises:
            ShapeError, DataError, SettingError: arguments that do not fit; NeocogError: the loss is not finite.

        >>> from neocog.nn.blocks import Sequential
        >>> from neocog.nn.layers import Conv2d, Flatten, Linear
        >>> known = Model(Sequential(Conv2d(4, 2), Flatten(), Linear(10)), (2, 2, 1), engine="reference")
        >>> images = np.array([[[1, 0], [1, 0]], [[0, 1], [0, 1]]], np.float32)
        >>> tuned, history = known.fine_tune(images, np.array([0, 1]), ["left", "right"], epochs=20, verbose=0)
        >>> tuned.predict(images).tolist(), history.best.phase
        ([0, 1], 'all layers')
        """
        if batch_norm not in ("frozen", "live"):
            raise SettingError(f'batch_norm must be "frozen" or "live", got {shown(batch_norm)}')
        tuned = for_classes(self, class_names, seed=given.get("seed"))
        tuned = remade(tuned, with_norms(tuned.graph, frozen=batch_norm == "frozen"), tuned.class_names)
        settings = settled(given, seed=self.seed, loss=self.loss, precision=self.precision)
        arrays = Arrays.of(
            tuned,
            settings.loss,
            images,
            labels,
            validation_data=validation_data,
            validation_split=validation_split,
            seed=settings.seed,
        )
        tuning = tuning_for(tuned, len(arrays.own[0]), given, head_only=head_only)
        settings = tuning.whole or tuning.head
        history = fine_tune(
            tuned,
            ArraySource(*arrays.own, batch_size=settings.batch_size, seed=settings.seed),
            tuning,
            in_order=ArraySource(*arrays.own, batch_size=tuned.images_at_once, shuffle=False),
            validation=arrays.validation(tuned.images_at_once),
            callbacks=callbacks,
            threads=threads,
            verbose=verbose,
            learnt_from=arrays.learnt_from,
        )
        return FineTuned(tuned, history)

    def lr_find(
        self,
        images: NDArray[np.generic],
        labels: NDArray[np.generic],
        batch_size: int = 64,
        *,
        low: float = 1e-6,
        high: float = 10.0,
        steps: int = 100,
        threads: int | None = None,
        **given: Unpack[MoreGiven],
    ) -> RateCurve:
        """Find a learning rate to begin with: take steps at rates from low to high, on a copy of the model.

        The suggestion is a tenth of the rate at which the smoothed loss is least.

        Arguments:
            images, labels, batch_size, threads, given: as for `fit`; of the optimizer all but the learning rate counts.
            low, high: the learning rates of the first and the last step.
            steps: how many there are at most; it ends early where the loss has grown to 4 times the least.

        Returns:
            RateCurve: `.suggested`, `.rates`, `.losses`, and `.save("rates.svg")` for a picture.

        >>> from neocog.nn.blocks import Sequential
        >>> from neocog.nn.layers import Flatten, Linear
        >>> model = Model(Sequential(Flatten(), Linear(2)), (2, 2, 1), ["left", "right"], engine="reference")
        >>> images = np.array([[[1, 0], [1, 0]], [[0, 1], [0, 1]]], np.float32)
        >>> 0.001 < model.lr_find(images, np.array([0, 1])).suggested <= 1.0
        True
        """
        settings = settled({**given, "batch_size": batch_size}, seed=self.seed, precision=self.precision)
        x = checked_arrays(self.graph, images)
        y = check_targets(self.graph, settings.loss, labels, len(x))
        source = ArraySource(x, y, batch_size=settings.batch_size, seed=settings.seed)
        return lr_find(self, source, settings, low=low, high=high, steps=steps, threads=threads)

    def fit_thresholds(self, images: NDArray[np.generic], labels: NDArray[np.generic]) -> None:
        """Where an image may have several labels, give each a threshold of its own: sets `thresholds` to those that
        give the largest F1 on these images. `neocog train` does it with the validation part. The model then knows these
        images (`learnt_from`), so that it is not measured on them by mistake.

        Arguments:
            images, labels: as `fit` takes them, of images that the model was not trained on. A label that fewer
                than 5 of them have keeps a half.

        Raises:
            SettingError: the model gives one class, or answers pixel by pixel.
            ShapeError, DataError: arguments that do not fit.

        >>> from neocog.nn.blocks import Sequential
        >>> from neocog.nn.layers import Flatten
        >>> from neocog.nn.losses import BinaryCrossEntropy
        >>> model = Model(Sequential(Flatten()), (1, 1, 1), ["lit"], loss=BinaryCrossEntropy(), engine="reference")
        >>> images = np.linspace(0, 1, 11, dtype=np.float32).reshape(11, 1, 1, 1)
        >>> model.fit_thresholds(images, np.arange(11) > 5)
        >>> [round(threshold, 4) for threshold in model.thresholds], model.predict(images)[:, 0].tolist()
        ([0.6341], [0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1])
        """
        x = checked_arrays(self.graph, images)
        fit_thresholds_on(self, ArraySource(x, labels, batch_size=self.images_at_once, shuffle=False).batches(0))
        self.learnt_from = union(self.learnt_from, identities_of_array(x))

    def quantise(self, images: NDArray[np.generic], measured: Labelled, *, max_drop: float = MAX_DROP) -> Quantised:
        """Prepare the model for predictions in int8: find its `scales`, and measure what they cost. It then answers so
        with `precision = "int8"`. `neocog quantise` does the same; docs/int8.md says what is computed.

        Arguments:
            images: as `fit` takes them, a few hundred of those that the model was trained on.
            measured: images and labels that it was not trained on.
            max_drop: points of accuracy that may be lost; of macro F1, where an image may have several labels.

        Returns:
            Quantised: the accuracy before and after.

        Raises:
            NeocogError: more is lost; the model is as it was.
            ShapeError, DataError, SettingError: arguments that do not fit, or an engine without int8.
        """
        x = checked_arrays(self.graph, images)
        y, labels = checked_arrays(self.graph, measured[0]), measured[1]
        others = ArraySource(y, labels, batch_size=self.images_at_once, shuffle=False)
        return quantise(self, [x], lambda: others.batches(0), max_drop=max_drop)

    def save(self, path: str | Path) -> None:
        """Write one safetensors file with weights, classes and preprocessing; docs/formats.md specifies it.

        What was there is replaced atomically: a failure leaves it as it was. Same model, same bytes.

        Raises:
            NeocogError: the file cannot be written.
        """
        modelfile.save(self, path)


def load(
    path: str | Path,
    *,
    engine: str | Engine = "native",
    threads: int | None = None,
    precision: Precision = "float32",
    allow_nonfinite: bool = False,
) -> Model:
    """Read a model file, or the model within a last.safetensors; see `neocog.model.modelfile.load_network`.

    Nothing in the file is executed. Everything is checked before it is used.

    Arguments:
        path: the file.
        engine, threads, precision: what the model shall run on and compute with, as for Model.
        allow_nonfinite: whether weights that are NaN or infinite are taken, to look at what they do.

    Returns:
        The model, with its weights bit for bit.

    Raises:
        FormatError: there is no such file, it is damaged, not one of neocog's, or holds weights that are no finite
            numbers; the message says what and where.
    """
    model = modelfile.load_network(path, Model, engine=engine, threads=threads, allow_nonfinite=allow_nonfinite)
    model.precision = precision
    return model
