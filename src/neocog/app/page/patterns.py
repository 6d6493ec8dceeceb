"""Questions about what a network looks for: images, patches, attributions, places.

With `control` they are answered for freshly drawn weights too: a picture that stays the same ignores the model.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from neocog.app.page.message import Answer
from neocog.app.page.question import Question
from neocog.app.page.session import Gallery, Session
from neocog.app.page.translate import in_all_languages
from neocog.errors import SettingError, WeightsError
from neocog.explain.control import randomised, rank_correlation, rank_correlations
from neocog.explain.gradcam import GradCam, gradcam
from neocog.explain.maximise import Maximised, maximise
from neocog.explain.observed import observe
from neocog.explain.occlusion import Occlusion, occlusion
from neocog.explain.patches import Patches, crops_of, top_patches
from neocog.explain.places import downsample, shift
from neocog.explain.subject import ProgressListener, Subject, check_index, image_output, layer_node
from neocog.explain.trace import Trace
from neocog.nn.layers import Conv2d

LONGEST_SIDE = 32  # pixels of the best crop of every filter
MOST_VALUES = 1 << 22  # of crops that are cut out at a time
SAME = 1e-5  # relative: values that only rounding keeps apart


def sample(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """Take an image of the data set as input."""
    item = _gallery(session).input(question.whole("index"))
    return Answer(
        {
            "input": session.add(item),
            "name": item.name,
            "note": in_all_languages(item.note),
            "labels": list(item.labels),
        }
    )


def patches(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """The patches of the data set that each filter of a convolution answers most to."""
    node = layer_node(session.model, question.whole("layer"), Conv2d)
    gallery = _gallery(session)
    found = _patches_of(session, None, gallery, node.index, progress)
    facts: dict[str, Any] = {}
    arrays: dict[str, Any] = {}
    if "control" in question.arguments:
        trained = found.peaks
        found = _patches_of(session, question.whole("control"), gallery, node.index, progress)
        assert trained is not None  # both were asked for
        assert found.peaks is not None
        arrays["rank_correlation"] = rank_correlations(trained, found.peaks)
    facts |= {
        "images": found.looked_at,
        "dead": list(found.dead),
        "seconds": found.seconds,
        "field": list(found.field),
    }
    for name in ("values", "images", "positions", "boxes", "labels", "maximum"):
        arrays[name] = getattr(found, name)
    key = question.whole("control") if "control" in question.arguments else None
    arrays["best"] = session.remember(("best", key, node.index), lambda: _best(session, gallery, found))
    return Answer(facts, arrays)


def crops(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """What one filter of a convolution saw in the images that it answers most to."""
    node = layer_node(session.model, question.whole("layer"), Conv2d)
    filter, gallery = check_index("filter", question.whole("filter"), image_output(node).channels), _gallery(session)
    key = question.whole("control") if "control" in question.arguments else None
    found = _all_patches(session, key, gallery, progress)[node.index]
    return Answer({}, {"crops": crops_of(session.model.graph, gallery, found, [filter])[0]})


def _best(session: Session, gallery: Gallery, found: Patches) -> NDArray[np.float32]:
    """Return the first crop of every filter, small: of long sides every second, third, ... pixel."""
    size = found.crops.shape[2:4]
    step = -(-max(size) // LONGEST_SIDE)
    few = max(1, MOST_VALUES // (size[0] * size[1] * session.model.graph.input.channels))
    filters = range(len(found.values))
    parts = [
        crops_of(session.model.graph, gallery, found, filters[start : start + few], 1)[:, 0, ::step, ::step].copy()
        for start in range(0, len(filters), few)
    ]
    return np.concatenate(parts)


def maximum(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """The image that a filter answers most to."""
    node = layer_node(session.model, question.whole("layer"), Conv2d)
    filter = check_index("filter", question.whole("filter"), image_output(node).channels)
    seed = question.whole("seed")

    def of(model: Subject, key: int | None, largest: float | None) -> Maximised:
        return session.remember(
            ("maximise", key, node.index, filter, seed),
            lambda: maximise(model, node.index, filter, seed=seed, data_maximum=largest, progress=progress),
        )

    data_maximum = None
    if session.gallery is not None and len(session.gallery):
        data_maximum = float(_patches_of(session, None, session.gallery, node.index, progress).maximum[filter])
    found = of(session.model, None, data_maximum)
    facts: dict[str, Any] = {}
    if "control" in question.arguments:
        control = question.whole("control")
        other = of(_random(session, control), control, None)
        facts["rank_correlation"] = rank_correlation(found.image, other.image)
        found = other
    facts |= {
        "value": found.value,
        "data_maximum": found.data_maximum,
        "dead": found.dead,
        "steps": found.steps,
        "seed": seed,
        "beats": found.beats,
        "equals": None if found.data_maximum is None else abs(found.value - found.data_maximum) <= SAME * found.value,
    }
    return Answer(facts, {"image": found.image, "history": found.history})


def hidden(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """How the target falls when a patch hides each place."""
    name, target = question.text("input"), question.text("target")
    image = session.input(name).image
    settings = (_pair(question, "patch"), _pair(question, "stride"), question.text("baseline"))

    def of(model: Subject, key: int | None) -> Occlusion:
        patch, stride, baseline = settings
        return session.remember(
            ("occlusion", name, target, settings, key),
            lambda: occlusion(model, image, target, patch=patch, stride=stride, baseline=baseline, progress=progress),
        )

    found = of(session.model, None)
    facts: dict[str, Any] = {}
    if "control" in question.arguments:
        control = question.whole("control")
        other = of(_random(session, control), control)
        facts["rank_correlation"] = rank_correlation(found.map, other.map)
        found = other
    facts |= {
        "value": found.value,
        "patch": list(found.patch),
        "stride": list(found.stride),
        "baseline": found.baseline,
        "baseline_source": found.baseline_source,
        "largest": list(found.largest),
    }
    return Answer(facts, {"map": found.map, "heat": found.heat})


def cam(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """Grad-CAM: which places of a layer speak for the target."""
    name, target, layer = question.text("input"), question.text("target"), question.whole("layer")
    image = session.input(name).image

    def of(model: Subject, traced: Trace) -> GradCam:
        return gradcam(model, image, target, layer=layer, traced=traced, progress=progress)

    found = of(session.model, session.trace(name))
    facts: dict[str, Any] = {}
    if "control" in question.arguments:
        control = question.whole("control")
        model = _random(session, control)
        other = of(model, session.remember(("trace", name, control), lambda: observe(model, image)))
        facts["rank_correlation"] = rank_correlation(found.grid, other.grid)
        found = other
    facts |= {
        "layer": found.layer,
        "name": found.name,
        "choices": list(found.choices),
        "all_zero": found.all_zero,
        "text": found.text,
    }
    return Answer(facts, {"grid": found.grid, "heat": found.heat, "weights": found.weights})


def moved(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """The image, or a patch of it, in another place; and a filter's map, which follows."""
    found = shift(
        session.model,
        session.input(question.text("input")).image,
        question.whole("rows"),
        question.whole("columns"),
        layer=question.whole("layer"),
        filter=question.whole("filter"),
        box=question.wholes("box", 4),
    )
    names = ("predicted", "peak", "peak_before", "peak_value", "peak_value_before", "stride", "moved", "equal_inside")
    return Answer(
        {name: getattr(found, name) for name in names},
        {name: getattr(found, name) for name in ("image", "map", "before", "probabilities")},
    )


def smaller(session: Session, question: Question, progress: ProgressListener) -> Answer:
    """The image with fewer pixels, and what the network then says."""
    found = downsample(session.model, session.input(question.text("input")).image, question.whole("size"))
    return Answer(
        {name: getattr(found, name) for name in ("predicted", "size", "values", "of", "sizes")},
        {name: getattr(found, name) for name in ("image", "small", "probabilities")},
    )


PATTERNS = {
    "sample": sample,
    "patches": patches,
    "crops": crops,
    "maximise": maximum,
    "occlusion": hidden,
    "gradcam": cam,
    "shift": moved,
    "downsample": smaller,
}


def _gallery(session: Session) -> Gallery:
    if session.gallery is None or not len(session.gallery):
        raise SettingError("there is no data set to look through", hint="start with --data DATA")
    return session.gallery


def _random(session: Session, seed: int) -> Subject:
    """Return the network with freshly drawn weights, once for each seed."""
    return session.remember(("random", seed), lambda: randomised(session.model, seed))


def _all_patches(
    session: Session, control: int | None, gallery: Gallery, progress: ProgressListener
) -> dict[int, Patches]:
    """Look through the data set once for all convolutions."""
    model = session.model if control is None else _random(session, control)
    return session.remember(
        ("patches", control),
        lambda: top_patches(
            model, gallery, labels=gallery.labels, keep_peaks=True, keep_crops=False, progress=progress
        ),
    )


def _patches_of(
    session: Session, control: int | None, gallery: Gallery, index: int, progress: ProgressListener
) -> Patches:
    """Return a layer's patches; where other layers' weights are no numbers, this one is looked through alone."""
    try:
        return _all_patches(session, control, gallery, progress)[index]
    except WeightsError:
        model = session.model if control is None else _random(session, control)
        return session.remember(
            ("patches", control, index),
            lambda: top_patches(model, gallery, index, labels=gallery.labels, keep_peaks=True, progress=progress),
        )


def _pair(question: Question, key: str) -> tuple[int, int]:
    """Return an argument of one number, or of two between a comma, as two."""
    if "," in question.text(key):
        pair = question.wholes(key, 2)
        assert pair is not None  # text found it
        return pair[0], pair[1]
    return question.whole(key), question.whole(key)
