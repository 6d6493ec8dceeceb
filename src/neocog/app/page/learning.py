"""Questions about learning: figures of a run, and how filters changed; of the worked example, while one waits."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from neocog.app.page import practice
from neocog.app.page.message import Answer
from neocog.app.page.practice import Practice, practise
from neocog.app.page.question import Question
from neocog.app.page.session import Session
from neocog.app.page.translate import in_all_languages
from neocog.engines.base import Array
from neocog.errors import FormatError, SettingError
from neocog.explain.change import change_of
from neocog.explain.lesson import lesson_image
from neocog.explain.subject import ProgressListener, layer_node
from neocog.nn.layers import Conv2d
from neocog.train.runfolder import RunFolder
from neocog.train.snapshots import load_snapshots, map_step

CURVES = ("epoch", "loss", "accuracy", "val_loss", "val_accuracy")


@dataclass(frozen=True, slots=True)
class Course:
    """How filters changed in a training.

    epochs: the figures of each epoch. kept: after how many of them there are filters; None: those of the model itself.
    filters: index of a convolution → (kept, r, s, C, K), the first K of its filters. maps: index → (kept, P, Q, M),
        what the first M gave for `image` (H, W, C). trouble: why there are none.
    """

    epochs: list[dict[str, Any]]
    kept: tuple[int | None, ...]
    filters: dict[int, Array]
    maps: dict[int, Array]
    image: Array | None
    trouble: str | None = None


def learning(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """The figures of a training, epoch by epoch, and how far the filters of each convolution came."""
    course = _course(session, question)
    layers = []
    for index, filters in course.filters.items():
        node, change = session.model.graph.nodes[index], change_of(filters)
        layers.append(
            {
                "layer": index,
                "name": node.name,
                "shape": list(filters.shape[1:]),
                "filters": node.layer.channels if isinstance(node.layer, Conv2d) else filters.shape[-1],
                "maps": course.maps[index].shape[-1] if index in course.maps else 0,
                "change": change.sizes.tolist(),
                "correlation": change.correlations.tolist(),
                "impression": change.impression,
                "magnified": change.magnified,
            }
        )
    return Answer(
        {
            "epochs": [{name: epoch[name] for name in CURVES} for epoch in course.epochs],
            "layers": layers,
            "kept": list(course.kept),
            "trouble": in_all_languages(course.trouble),
            "practice": _offered(Practice.asked(question)) if session.lesson else None,
        }
    )


def learnt(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """The filters of one convolution, and what they saw of one image, epoch by epoch."""
    node, course = layer_node(session.model, question.whole("layer"), Conv2d), _course(session, question)
    if node.index not in course.filters:
        raise SettingError(f"no filters of {node.title} were kept")
    filters = course.filters[node.index]
    magnified = change_of(filters).magnified
    arrays = {"filters": filters, "changes": magnified * (filters - filters[0])}
    if course.image is not None and node.index in course.maps:
        arrays |= {"maps": course.maps[node.index], "image": course.image}
    return Answer({"magnified": magnified}, arrays)


LEARNING = {"learning": learning, "learnt": learnt}


def _course(session: Session, question: Question) -> Course:
    if session.lesson:
        settings = Practice.asked(question)
        return session.remember(("course", settings), lambda: _practised(settings))
    if session.run is None:
        raise SettingError("there is no run to follow", hint="name a run folder: neocog explain runs/NAME")
    folder = RunFolder(session.run)
    return session.remember(("course", None), lambda: _trained(session, folder))


def _practised(settings: Practice) -> Course:
    found = practise(settings)
    epochs = [asdict(epoch) for epoch in found.epochs]
    return Course(epochs, found.kept, {0: found.filters}, {0: found.maps}, lesson_image())


def _trained(session: Session, folder: RunFolder) -> Course:
    epochs, trouble, snapshots = folder.read_history(), None, None
    if folder.filters.is_file():
        try:
            snapshots = load_snapshots(folder.filters)
        except FormatError as error:  # the figures are there all the same
            trouble = error.message if error.hint is None else f"{error.message}; {error.hint}"
    if snapshots is None:
        return Course(epochs, (), {}, {}, None, trouble)
    nodes, parameters = {node.name: node for node in session.model.graph.nodes}, session.model.parameters
    filters, maps = {}, {}
    for name, values in snapshots.filters.items():
        now = parameters.get(f"{name}.weight")
        if name in nodes and now is not None and now.ndim == 4 and now.shape[:3] == values.shape[1:4]:
            filters[nodes[name].index] = np.concatenate([values, now[None, ..., : values.shape[-1]]])
    image = snapshots.image
    if image is not None and snapshots.maps and image.shape == _sides(session):
        kept = {nodes[name].index: values for name, values in snapshots.maps.items() if name in nodes}
        present = session.model.outputs(image[None], list(kept))
        for index, values in kept.items():
            step = map_step(present[index].shape[1:3])
            maps[index] = np.concatenate([values, present[index][:, ::step, ::step, : values.shape[-1]]])
    return Course(epochs, (*snapshots.epochs, None), filters, maps, image)


def _sides(session: Session) -> tuple[int, int, int]:
    shape = session.model.graph.input
    return shape.height, shape.width, shape.channels


def _offered(settings: Practice) -> dict[str, Any]:
    """Return what the reader may choose from, and what was chosen."""
    return {
        **settings.arguments(),
        "optimizers": list(practice.OPTIMIZERS),
        "with_momentum": list(practice.WITH_MOMENTUM),
        "rates": [f"{rate:g}" for rate in practice.RATES],
        "momenta": [f"{momentum:g}" for momentum in practice.MOMENTA],
        "seeds": practice.SEEDS,
    }
