"""Questions about layers that treat values one by one, or join several: the steps of a channel, and statistics."""

from __future__ import annotations

import numpy as np

from neocog.app.page.message import Answer
from neocog.app.page.question import Question
from neocog.app.page.session import Session
from neocog.explain.apart import steps_of
from neocog.explain.statistics import all_batch_statistics
from neocog.explain.subject import ProgressListener, layer_node
from neocog.nn.layers import BatchNorm2d

STATISTICS = 64  # images of the data set that a normalization is held to


def channel_steps(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """One channel of a normalization, activation, join or mean: all values between what goes in and what comes out."""
    node = layer_node(session.model, question.whole("layer"))
    found = steps_of(session.trace(question.text("input")), node, question.whole("channel"))
    arrays = {f"step{place}": step.values for place, step in enumerate(found.steps)}
    if found.slope is not None:
        arrays["slope"] = found.slope
    if found.curve is not None:
        arrays |= {"curve_x": found.curve.x, "curve_value": found.curve.value, "curve_slope": found.curve.slope}
    return Answer(
        {
            "steps": [
                {"name": step.name, "sign": step.sign, "number": step.number, "source": step.source}
                for step in found.steps
            ],
            "parts": found.parts,
        },
        arrays,
    )


def statistics(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """What a normalization takes for mean and variance, and those of the image, and of images of the data set."""
    node = layer_node(session.model, question.whole("layer"), BatchNorm2d)
    name = question.text("input")
    image = session.input(name).image[None]
    own = session.remember(("statistics", name), lambda: all_batch_statistics(session.model, image))[node.index]
    arrays = {
        "running_mean": own.running_mean,
        "running_variance": own.running_variance,
        "image_mean": own.mean,
        "image_variance": own.variance,
    }
    gallery, images = session.gallery, 0
    if gallery is not None and len(gallery):
        spread = np.unique(np.linspace(0, len(gallery) - 1, STATISTICS).astype(np.int64))  # data may lie class by class
        found = session.remember("statistics", lambda: all_batch_statistics(session.model, gallery[spread]))[node.index]
        arrays |= {"batch_mean": found.mean, "batch_variance": found.variance}
        images = found.images
    return Answer({"images": images}, arrays)


VALUES = {"steps": channel_steps, "statistics": statistics}
