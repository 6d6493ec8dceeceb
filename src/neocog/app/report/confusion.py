"""Which classes are taken for which: in what order they are best read, and the pictures behind each number."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from neocog.app.report.answers import Answers

MOST_CLASSES = 60
"""Classes up to which the whole matrix is drawn; of more, the most confused pairs are listed."""

MOST_PAIRS = 12


def orders(confusion: NDArray[np.int64]) -> dict[str, list[int]]:
    """Return three orders of the classes: the weakest first, those side by side that are taken for each other, and the
    model's own.

    Arguments:
        confusion: (classes, classes) counts; row: the true class, column: the answer.

    >>> orders(np.array([[9, 0, 1], [0, 5, 5], [1, 2, 7]]))
    {'weakest': [1, 2, 0], 'alike': [1, 2, 0], 'own': [0, 1, 2]}
    """
    images = confusion.sum(axis=1)
    recall = np.where(images > 0, confusion.diagonal() / np.maximum(images, 1), np.inf)
    weakest = np.argsort(recall, kind="stable")
    return {"weakest": weakest.tolist(), "alike": _alike(confusion, weakest), "own": list(range(len(confusion)))}


def _alike(confusion: NDArray[np.int64], weakest: NDArray[np.int64]) -> list[int]:
    """Walk from the weakest class to the one that it is confused with most, and so on."""
    shares = confusion / np.maximum(confusion.sum(axis=1, keepdims=True), 1)
    tie = shares + shares.T
    path, left = [int(weakest[0])], [int(label) for label in weakest[1:]]
    while left:
        following = max(left, key=lambda label: tie[path[-1], label])
        left.remove(following)
        path.append(following)
    return path


def pairs(confusion_pairs: NDArray[np.int64]) -> list[dict[str, int]]:
    """List the pairs that are confused most often.

    Arguments:
        confusion_pairs: (pairs, 3): true class, answer, images; see `Evaluation.pairs`.
    """
    wrong = confusion_pairs[confusion_pairs[:, 0] != confusion_pairs[:, 1]]
    first = wrong[np.argsort(-wrong[:, 2], kind="stable")[:MOST_PAIRS]]
    return [{"true": int(true), "answer": int(answer), "images": int(images)} for true, answer, images in first]


def cell_images(answers: Answers, most: int) -> Iterator[tuple[str, int]]:
    """Go through the images behind the cells: cell ("true,answer") and row of `answers`.

    One of each cell comes first, then a second one of each, and so on, at most `most` of a cell: so that where there is
    no room for all, each cell has some. Mistakes come before what is right.
    """
    truth, given = answers.truth.argmax(axis=1), answers.probabilities.argmax(axis=1)
    of_cell: dict[tuple[int, int], int] = {}
    ranked = []
    for order, kind in ((answers.worst(), 0), (answers.least_certain(), 1)):
        for row in order.tolist():
            cell = int(truth[row]), int(given[row])
            rank = of_cell[cell] = of_cell.get(cell, -1) + 1
            if rank < most:
                ranked.append((kind, rank, f"{cell[0]},{cell[1]}", row))
    ranked.sort(key=lambda entry: entry[:2])
    for _, _, name, row in ranked:
        yield name, row
