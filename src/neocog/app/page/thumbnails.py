"""The question `thumbnails`: two small maps of each layer, for the strip that shows the whole network at once."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.app.page.message import Answer
from neocog.app.page.question import Question
from neocog.app.page.session import Session
from neocog.explain.subject import Array, ProgressListener

MAPS = 2  # of each layer, the strongest
SIDE = 22  # cells of a map's longer side, at most


def thumbnails(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """What each layer gave for an image, in little: of larger maps every second, third, … cell."""
    traced = session.trace(question.text("input"))
    arrays: dict[str, NDArray[Any]] = {}
    channels: list[list[int]] = []
    limits = []
    for node in session.model.graph.nodes:
        output = traced.output(node.index)
        size = np.abs(output)
        limits.append(float(size[np.isfinite(size)].max(initial=0.0)))
        chosen, arrays[str(node.index)] = small(output)
        channels.append(chosen)
    return Answer({"channels": channels}, {**arrays, "limits": np.array(limits)})


def small(output: Array) -> tuple[list[int], Array]:
    """Return the numbers of a layer's strongest maps, and these, thinned out; a vector is one map of one column."""
    maps = output if output.ndim == 3 else output[:, None, None]
    step = -(-max(maps.shape[:2]) // SIDE)
    peaks = np.nan_to_num(maps.max(axis=(0, 1)), nan=-np.inf)
    chosen = np.sort(np.argsort(-peaks, kind="stable")[:MAPS])
    return chosen.tolist(), maps[::step, ::step, chosen].transpose(2, 0, 1)


THUMBNAILS = {"thumbnails": thumbnails}
