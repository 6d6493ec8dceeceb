"""Which images a model learnt from, as the verbs ask it: known by their content, wherever they lie now.

An image counts as learnt from where it was trained on, or helped to choose the best epoch.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from neocog.app.cli.datasets import progress_bar
from neocog.app.cli.errors import warn
from neocog.data.dataset import Dataset, DataSplits, Source, Subset
from neocog.data.identity import Identities, identities_in, identities_of, identities_of_some
from neocog.errors import DataError
from neocog.model.network import Network

SAMPLE = 64  # images of a data set that are looked at to tell whether it is the one


def images_of(splits: DataSplits, *, quiet: bool) -> Identities:
    """Return the images that a training on these parts learns from."""
    with progress_bar("comparing", quiet=quiet) as progress:
        return identities_in((splits.train, splits.validation), progress)


def learnt(model: Network, part: Dataset, *, quiet: bool) -> NDArray[np.bool_]:
    """Return for each image of a part whether the model learnt from it; nowhere, where the model does not know."""
    if model.learnt_from is None or not len(model.learnt_from):
        return np.zeros(len(part), bool)
    with progress_bar("comparing", quiet=quiet) as progress:
        return np.isin(identities_of(part, progress), model.learnt_from)


def unseen(model: Network, part: Dataset, *, quiet: bool) -> tuple[Dataset, int]:
    """Return the images of a part that the model did not learn from, of which there may be none, and the number of the
    others.
    """
    known = learnt(model, part, quiet=quiet)
    return (Subset(part, np.flatnonzero(~known)) if known.any() else part), int(known.sum())


def nothing_unseen(images: int, *, split: bool = True) -> DataError:
    """Return what to say of data whose every readable image the model learnt from; `split`: to whom has --split."""
    return DataError(
        f"the model learnt from {'this one image' if images == 1 else f'all of these {images:,} images'}, "
        "which cannot tell how good it is",
        hint="use other images" + (", or measure on these all the same with --split all" if split else ""),
    )


def tell_copies(splits: DataSplits) -> None:
    """Warn where images that the result will be measured on are copies of those which the training learns from."""
    name, measured = ("test", splits.test) if splits.test is not None else ("validation", splits.validation)
    if measured is None:
        return
    trained = identities_in((splits.train, splits.validation if name == "test" else None))
    copies = int(np.isin(identities_of(measured), trained).sum())
    if copies:
        warn(
            f"{copies:,} of the {len(measured):,} {name} images are copies of images that the training learns from",
            hint=f"the {name} accuracy will be too optimistic; list the duplicates with: neocog check DATA",
        )


def is_other_data(model: Network, source: Source) -> bool:
    """Whether none of some images of a source's training part is among those that the model learnt from.

    A few are enough to tell, so that a large data set need not be read.
    """
    train = source.train if source.train is not None else source.unsplit
    if train is None or model.learnt_from is None or not len(model.learnt_from):
        return False
    chosen = np.unique(np.linspace(0, len(train) - 1, min(len(train), SAMPLE)).astype(np.int64))
    found = identities_of_some(train, chosen)
    return bool(len(found)) and not np.isin(found, model.learnt_from).any()


def tell_changes(model: Network, now: Identities, run: str) -> None:
    """Compare the images of a training that goes on with those that it began with; warn where they differ.

    Raises:
        DataError: not one of them is the same.
    """
    before = model.learnt_from
    if before is None or not len(before):
        return
    missing, added = np.setdiff1d(before, now), np.setdiff1d(now, before)
    if len(missing) == len(before):
        raise DataError(
            f"these are not the images that {run} was trained on: not one of its {len(before):,} is among them",
            hint="name the folder where they lie now: neocog train DATA --resume RUN",
        )
    if len(missing) or len(added):
        warn(
            "the images have changed since this training began",
            [f"{len(missing):,} of {len(before):,} are missing, {len(added):,} are new"],
            "training continues, but the result will differ from that of an uninterrupted run",
        )
