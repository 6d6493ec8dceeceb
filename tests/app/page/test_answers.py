"""Every question has an answer for every kind of network, or says in words why not."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import neocog as nc
from explain.networks import NETWORKS, make_image, make_model
from neocog.app.page.answers import QUESTIONS, answer
from neocog.app.page.question import Question
from neocog.app.page.recording import essential, optional
from neocog.app.page.session import FIRST, Gallery, Input, Session
from neocog.data.arrays import ArrayDataset
from neocog.data.table import read_table
from neocog.nn.layers import Layer


def session_of(model: nc.Model, *, data: bool = True) -> Session:
    made = Session(model, "network", engine="reference")
    made.add(Input(make_image(model), "drawn"), FIRST)
    if data:
        images = np.random.default_rng(1).integers(0, 256, (12, *model.input_shape)).astype(np.uint8)
        dataset = ArrayDataset(images, np.zeros(12, np.int64), [model.class_names[0]], prefix="drawn", layout="NHWC")
        made.gallery = Gallery(dataset, made.size, made.resize, model.class_names, "drawn")
    return made


@pytest.mark.parametrize("name", NETWORKS)
def test_each_layer_of_each_network_has_a_view_and_answers(name: str) -> None:
    session = session_of(make_model(name))
    facts = answer(session, Question.read("model")).facts
    assert [layer["index"] for layer in facts["layers"]] == list(range(len(session.model.graph.nodes)))
    assert all(layer["view"] for layer in facts["layers"])
    asked = set()
    wanted = [*essential(session), *optional(session, facts["defaults"])]
    for question in wanted if len(wanted) < 400 else [*wanted[:200], *wanted[-200:]]:
        if question.name == "maximise" and name in ("many filters", "deep"):
            continue  # nothing of its own here, and it takes its time
        found = answer(session, question)
        asked.add(question.name)
        for array in found.arrays.values():
            assert np.asarray(array).dtype.kind in "fiub"
        found.frame()
    assert {"model", "run", "activation", "gradient"} <= asked


def test_the_recorder_asks_every_question_but_those_that_bring_an_image(session: Session) -> None:
    asked = set()
    for made in (session, session_of(make_model("residual"))):
        facts = answer(made, Question.read("model")).facts
        asked |= {question.name for question in (*essential(made), *optional(made, facts["defaults"]))}
    own = {name for name in QUESTIONS if "." not in name}  # others are the worked examples
    # cards: cards_recorded; routes, rows under a kernel: the worked example; learning: runs
    assert own - asked == {"sample", "route", "learning", "learnt", "card", "kernel_row"}


@pytest.mark.parametrize("name", ["residual", "branches"])
def test_the_page_is_told_how_layers_are_joined(name: str) -> None:
    session = session_of(make_model(name))
    layers = answer(session, Question.read("model")).facts["layers"]
    assert [layer["inputs"] for layer in layers] == [list(node.inputs) for node in session.model.graph.nodes]
    assert any(len(layer["inputs"]) > 1 for layer in layers)


def test_what_a_cell_gets_over_several_edges_adds_up(session: Session) -> None:
    made = session_of(make_model("branches"))
    cell = "channel=1&column=2&input=first"
    found = [
        answer(made, Question.read(f"route?{cell}&layer={layer}&position={position}&row=3&target=class:1")).facts
        for layer, position in ((14, 0), (14, 1))  # the Add takes the gated value twice
    ]
    assert found[0]["gradient"] == found[1]["gradient"]
    assert found[0]["total"] + found[1]["total"] == pytest.approx(found[0]["gradient"], rel=1e-12)


def test_a_filter_in_a_group_is_taken_apart_with_the_channels_of_its_group() -> None:
    made = session_of(make_model("convolutions of groups"))  # 4 channels in 2 groups of 3 filters
    assert answer(made, Question.read("model")).facts["layers"][0]["groups"] == 2
    seen = answer(made, Question.read("lens?filter=4&input=first&layer=0&row=1"))
    traced = made.trace("first")
    column = seen.arrays["columns"][2].tolist()
    rows = seen.arrays["rows"].tolist()
    np.testing.assert_array_equal(seen.arrays["window"][2][1, 1], traced.normalised[rows[1], column[1], 2:4])
    piece = answer(made, Question.read("edges?channel=1&column=0&filter=4&input=first&layer=0&row=0"))
    weight = traced.parameters["0.weight"]
    np.testing.assert_array_equal(piece.arrays["weights"], weight[:, :, 1, 4])
    with pytest.raises(nc.SettingError, match="channel must be a whole number from 0 to 1, got 2"):
        answer(made, Question.read("edges?channel=2&column=0&filter=4&input=first&layer=0&row=0"))


def test_the_slope_is_told_of_activations_alone() -> None:
    made = session_of(make_model("branches"))
    cell = "channel=0&column=0&input=first&row=0&target=class:0"
    slopes = [answer(made, Question.read(f"route?{cell}&layer={layer}")).facts["slope"] for layer in (0, 1, 12, 14)]
    assert slopes[0] is None
    assert slopes[1] in (0.2, 1.0)
    assert 0 < slopes[2] < 0.25
    assert slopes[3] is None


class Mystery(Layer):
    """A layer of a kind that nobody has explained."""


def test_a_layer_of_a_kind_that_is_not_explained_is_said_to_be_so() -> None:
    from neocog.app.page.describe import describe_layer
    from neocog.nn.graph import trace

    graph = trace(nc.Sequential(Mystery(), nc.Flatten()), (4, 4, 1))
    assert describe_layer(graph, graph.nodes[0])["view"] is None


def test_networks_with_nan_weights_answer_or_say_why() -> None:
    model = make_model("article")
    values = {name: np.array(value) for name, value in model.parameters.items()}
    values["3.weight"][...] = np.nan
    model.load_parameters(values, allow_nonfinite=True)
    session = session_of(model)
    facts = answer(session, Question.read("run?input=first")).facts
    assert facts["prediction"] is None
    assert facts["problems"][0]["layer"] == "3"
    assert "NaN" in facts["problems"][0]["text"]
    wanted = [*essential(session), *optional(session, answer(session, Question.read("model")).facts["defaults"])]
    mute = {"patches", "crops", "maximise", "occlusion", "gradcam", "shift", "downsample"}  # these need finite answers
    told = {}
    for question in [*wanted[:60], *(question for question in wanted if question.name in mute)]:
        try:
            answer(session, question).frame()
        except nc.NeocogError as error:
            told[question.name] = error.message
    assert set(told) <= mute
    assert all("NaN" in message for message in told.values())


def test_dead_filters_are_named() -> None:
    model = make_model("article")
    values = {name: np.array(value) for name, value in model.parameters.items()}
    values["0.bias"][[3, 9]] = -1000.0
    model.load_parameters(values)
    session = session_of(model)
    assert {3, 9} <= set(answer(session, Question.read("activation?input=first&layer=1")).facts["zero"])
    assert {3, 9} <= set(answer(session, Question.read("patches?layer=0")).facts["dead"])
    assert answer(session, Question.read("maximise?filter=3&layer=0&seed=0")).facts["dead"] is True


def test_control_answers_the_same_picture_for_other_weights(session: Session) -> None:
    trained = answer(session, Question.read("gradcam?input=first&layer=-1&target=class:0"))
    control = answer(session, Question.read("gradcam?control=1&input=first&layer=-1&target=class:0"))
    assert trained.arrays["grid"].shape == control.arrays["grid"].shape
    assert not np.array_equal(trained.arrays["grid"], control.arrays["grid"])
    assert "rank_correlation" in control.facts
    assert "rank_correlation" not in trained.facts


def test_an_image_may_have_several_labels(tmp_path: Path) -> None:
    model = nc.Model(
        nc.Sequential(nc.Flatten(), nc.Linear(3)), (4, 4, 1), ["cat", "dog", "owl"], loss=nc.BinaryCrossEntropy()
    )
    model.load_state_dict({"1.weight": np.zeros((3, 16)), "1.bias": np.array([2.0, -1.0, 0.5])})
    session = session_of(model, data=False)
    for name in ("both", "none"):
        Image.new("L", (4, 4)).save(tmp_path / f"{name}.png")
    (tmp_path / "labels.csv").write_text("path,labels\nboth.png,owl|cat|fox\nnone.png,\n")
    dataset = read_table(tmp_path / "labels.csv").unsplit
    assert dataset is not None
    session.gallery = Gallery(dataset, session.size, session.resize, model.class_names, "drawn")
    assert answer(session, Question.read("model")).facts["loss"] == {
        "kind": "BinaryCrossEntropy",
        "several_labels": True,
        "plain": True,
    }
    assert [answer(session, Question.read(f"sample?index={index}")).facts["labels"] for index in (0, 1)] == [[0, 2], []]
    told = answer(session, Question.read("run?input=first"))
    assert told.facts["predicted"] == [0, 2]
    np.testing.assert_allclose(told.arrays["probabilities"], [0.8808, 0.2689, 0.6225], atol=1e-4)
    assert told.facts["probability"] == told.arrays["probabilities"][0]
    assert answer(session, Question.read("downsample?input=first&size=2")).facts["predicted"] == (0, 2)


def test_old_images_are_forgotten_but_never_the_first(session: Session) -> None:
    names = [session.add(session.input(FIRST)) for _ in range(200)]
    assert session.input(FIRST)
    assert session.input(names[-1])
    with pytest.raises(nc.SettingError, match="there is no image"):
        session.input(names[0])


def test_images_that_cannot_be_read_are_left_out(tmp_path) -> None:
    from PIL import Image

    from neocog.data.sources import read_source

    for name in ("a/1.png", "a/2.png", "a/3.png", "b/1.png", "b/2.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (14, 10), (200, 90, 10)).save(tmp_path / name)
    (tmp_path / "a" / "2.png").write_bytes(b"broken")
    source = read_source(tmp_path)
    model = make_model("colour")
    made = session_of(model, data=False)
    made.gallery = Gallery(source.unsplit, made.size, made.resize, model.class_names, "photos")
    assert len(made.gallery) == 4
    assert made.gallery.unreadable == 1
    assert all(made.gallery[index : index + 1].any() for index in range(4))
    assert answer(made, Question.read("patches?layer=0")).facts["images"] == 4


def test_what_two_views_ask_for_at_once_is_computed_once(session: Session) -> None:
    started, release, calls = threading.Event(), threading.Event(), []

    def compute() -> int:
        calls.append(1)
        started.set()
        assert release.wait(120)
        return 7

    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(session.remember("key", compute))) for _ in range(2)]
    threads[0].start()
    assert started.wait(120)
    threads[1].start()
    release.set()
    for thread in threads:
        thread.join(120)
    assert found == [7, 7]
    assert len(calls) == 1


def test_the_control_never_is_the_networks_own_beginning(session: Session) -> None:
    control = answer(session, Question.read("model")).facts["defaults"]["control"]
    assert control != session.model.seed


def test_names_that_are_not_unicode_travel_too() -> None:
    from neocog.app.page.message import Answer

    assert b"bad\\\\udcff" in Answer({"name": "bad\udcff"}).frame()


@pytest.mark.parametrize("name", ["residual", "branches"])
def test_thumbnails_are_cells_of_the_strongest_maps(name: str) -> None:
    session = session_of(make_model(name))
    found = answer(session, Question.read("thumbnails?input=first"))
    traced = session.trace(FIRST)
    for node in session.model.graph.nodes:
        output = traced.output(node.index)
        maps = output if output.ndim == 3 else output[:, None, None]
        peaks = maps.max(axis=(0, 1))
        chosen, given = found.facts["channels"][node.index], found.arrays[str(node.index)]
        assert sorted(peaks[chosen]) == sorted(peaks)[-len(chosen) :]
        assert len(chosen) == min(2, maps.shape[2])
        step = -(-max(maps.shape[:2]) // 22)
        np.testing.assert_array_equal(given, maps[::step, ::step][..., chosen].transpose(2, 0, 1))
        assert found.arrays["limits"][node.index] == np.abs(output).max()
