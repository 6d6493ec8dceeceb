"""Proof that a compiled network answers as the model does: both answer the same images, and are compared."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from neocog.emit.choice import LEVELS
from neocog.errors import NeocogError
from neocog.model.network import Network
from neocog.standalone.folder import read_note
from neocog.standalone.scripted import answers_by_node
from neocog.standalone.selftest import InstructionsError, Progress, answers_of, build, temporary_folder
from neocog.target.ahead import AHEAD

WEB = "web"
"""The target of networks for browsers."""

TOLERANCE = 1e-4
"""How far probabilities may part: sums in another order, of other lanes, part by some 1e-6."""


@dataclass(frozen=True, slots=True)
class Verified:
    """What was compared.

    Arguments:
        images: how many.
        difference: the largest difference of two probabilities.
        equal: images whose probabilities are the same bits.
        doubtful: images that got another class, from probabilities that are as good as equal.
        target, compiler, emulator: what ran it.
        versions: of those that an object chooses from, the ones that answered; the others need another processor.
    """

    images: int
    difference: float
    equal: int
    doubtful: int
    target: str
    compiler: str
    emulator: str
    versions: tuple[str, ...] = ()


def verify(folder: Path, network: Network, images: NDArray[np.uint8], progress: Progress | None = None) -> Verified:
    """Build the self-test of a folder, and compare its answers with a network's.

    Arguments:
        folder: that `write_folder` or `write_web` wrote.
        network: the model that it came from.
        images: (N, H, W, C).
        progress: told now and then how many images are answered, and how many there are.

    Raises:
        NeocogError: they part by more than TOLERANCE, or it fails.
        EngineError: it cannot be built or run here.
        FormatError: the folder holds no compiled network.
    """
    note = read_note(folder)
    wanted = network.predict_proba(images, batch_size=1)
    found: dict[str, _Compared] = {}
    with temporary_folder() as place:
        if note.target == WEB:
            given = answers_by_node(folder, note.name, images, network.graph.classes, Path(place))
            answers, probabilities, emulator = given
            compiler = "neocog"
            found[""] = _compare(network, wanted, answers, probabilities)
        else:
            several = AHEAD[note.target].levels if note.target in AHEAD else ()
            for version in ("", *(LEVELS if several else ())):
                built = build(folder.absolute(), note.name, note.target, note.triple, Path(place), version)
                compiler, emulator = built.compiler, built.emulator
                try:
                    answers, probabilities = answers_of(built, images, network.graph.classes, progress)
                except InstructionsError:
                    continue  # this processor is none of those that it is for
                found[version] = _compare(network, wanted, answers, probabilities)
    difference = max(one.difference for one in found.values())
    equal, doubtful = min(one.equal for one in found.values()), max(one.doubtful for one in found.values())
    versions = tuple(version for version in found if version)
    return Verified(len(images), difference, equal, doubtful, note.target, compiler, emulator, versions)


@dataclass(frozen=True, slots=True)
class _Compared:
    difference: float
    equal: int
    doubtful: int


def _compare(
    network: Network, wanted: NDArray[np.float32], answers: NDArray[np.int32], probabilities: NDArray[np.float32]
) -> _Compared:
    """Compare answers with those of the model.

    Raises:
        NeocogError: they part.
    """
    apart = np.abs(probabilities - wanted).max(axis=1)
    off = ~(apart <= TOLERANCE)
    if off.any():
        worst = int(np.argmax(np.where(np.isnan(apart), np.inf, apart)))
        raise NeocogError(
            f"{off.sum()} of {len(wanted)} images get other probabilities than by the model, off by {apart[worst]:.3g}",
            hint="is it the model that was exported? If so, this is a bug in neocog: please report it",
        )
    doubtful = _check_answers(network, wanted, answers)
    return _Compared(float(apart.max()), int((probabilities == wanted).all(axis=1).sum()), doubtful)


def _check_answers(network: Network, wanted: NDArray[np.float32], answers: NDArray[np.int32]) -> int:
    """Check what the function returned against probabilities, and count where only roundings decide.

    Raises:
        NeocogError: an answer is another one.
    """
    own, near = _answers(network, wanted, 0.0), [_answers(network, wanted, way * TOLERANCE) for way in (-1.0, 1.0)]
    other = answers != own
    for image in np.flatnonzero(other):
        allowed = {int(side[image]) for side in near} | set(_ties(network, wanted[image]))
        if int(answers[image]) not in allowed:
            raise NeocogError(
                f"image {image} is answered with {answers[image]}, by the model with {own[image]}",
                hint="this is a bug in neocog: please report it",
            )
    return int(other.sum())


def _answers(network: Network, probabilities: NDArray[np.float32], off: float) -> NDArray[np.int64]:
    """Return what the function should return, were all probabilities higher by a little."""
    moved = probabilities.astype(np.float64) + off
    if network.loss.several_labels:
        thresholds = np.array(network.thresholds or [0.5] * network.graph.classes)
        given: NDArray[np.int64] = (moved > thresholds).sum(axis=1)
        return given
    best: NDArray[np.int64] = probabilities.argmax(axis=1)
    if network.reject_below is not None:
        best = np.where(moved.max(axis=1) < network.reject_below, -1, best)
    return best


def _ties(network: Network, probabilities: NDArray[np.float32]) -> list[int]:
    """Return the classes that are as probable as the most probable one; of labels, all numbers between."""
    if network.loss.several_labels:
        low, high = (int(_answers(network, probabilities[None], way * TOLERANCE)[0]) for way in (-1.0, 1.0))
        return list(range(low, high + 1))
    return [int(place) for place in np.flatnonzero(probabilities >= probabilities.max() - 2 * TOLERANCE)]
