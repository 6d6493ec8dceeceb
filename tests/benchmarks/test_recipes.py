"""The trainings of benchmarks/recipes: airbench94 in PyTorch is the one that neocog trains, and peers learn."""

from __future__ import annotations

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import neocog as nc  # noqa: E402
from benchmarks.recipes import airbench, compare, loop, pictures, precision  # noqa: E402
from benchmarks.recipes.budget import Budget  # noqa: E402
from benchmarks.recipes.parts import Parts  # noqa: E402
from benchmarks.recipes.peers import PEERS  # noqa: E402
from neocog.train.recipes import airbench as ours  # noqa: E402

EPOCHS, IMAGES = 5, 6


def noise(count: int, side: int = 32, channels: int = 3) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, side, side, channels), np.uint8)


@pytest.fixture
def parts() -> Parts:
    labels = np.arange(IMAGES) % 10
    return Parts("noise", noise(IMAGES), labels, noise(20), np.arange(20) % 10, tuple("abcdefghij"))


def both(parts: Parts) -> tuple[nc.Model, airbench.Airbench]:
    """The network of neocog's recipe and that of PyTorch's, with the same weights."""
    model = nc.Model(
        nc.zoo.airbench94(), (32, 32, 3), parts.class_names, mean=parts.mean, std=parts.std, engine="reference"
    )
    ours.start(model, parts.images)
    peer = airbench.Airbench(airbench.normalised(parts, parts.images))
    mine = {name: torch.from_numpy(value) for name, value in model.state_dict().items()}
    places = {name: "classes.weight" if name == "25.weight" else f"layers.{name}" for name in mine}
    mine["25.weight"] = mine["25.weight"] * airbench.LOGITS
    state = {places[name]: value for name, value in mine.items()}
    missing, unknown = peer.load_state_dict(state, strict=False)  # without the norms' counts of batches
    assert (missing, unknown) == ([], [])
    return model, peer


def test_both_whiten_alike(parts):
    theirs = airbench.whitening(airbench.normalised(parts, parts.images)).numpy()
    model, _ = both(parts)
    mine = model.state_dict()["0.weight"]
    pairs = np.abs(np.einsum("kchw,kchw->k", mine, theirs))  # whichever sign a component has
    assert np.allclose(pairs, np.square(mine).sum((1, 2, 3)), rtol=1e-3)


def test_both_begin_with_weights_of_the_same_kind(parts):
    _, peer = both(parts)
    theirs = airbench.Airbench(airbench.normalised(parts, parts.images)).state_dict()
    for name, value in peer.state_dict().items():
        if value.ndim > 1 and not name.startswith("layers.0"):
            assert float(value.std()) == pytest.approx(float(theirs[name].std()), rel=0.15), name


def test_both_take_the_same_steps(parts):
    """Means and other rates on one side, sums on the other: past the last step of the whitening biases, to the end,
    which is a meeting with slow weights. Both compute in float64.
    """
    model, peer = both(parts)
    settings = ours.settings(model.graph, IMAGES, epochs=EPOCHS)
    mine, theirs = nc.Trainer(model, settings=settings), airbench.Training(peer.double().train(), IMAGES, 1, EPOCHS)
    x, y = airbench.normalised(parts, parts.images).double(), torch.from_numpy(parts.labels)
    before = model.state_dict()
    for step in range(EPOCHS):
        mine.learning_rate = settings.optimizer.learning_rate * airbench.factor(step, EPOCHS)
        assert mine.step(parts.images, parts.labels) == pytest.approx(theirs.step(x, y), rel=1e-4), step
    after = {name: value.numpy() for name, value in peer.state_dict().items()}
    after["layers.25.weight"] = after["classes.weight"] / airbench.LOGITS
    learnt = [name for name in before if (model.state_dict()[name] != before[name]).any() and "running" not in name]
    assert len(learnt) == 1 + 6 + 6 + 1  # biases of the whitening and of norms, convolutions, classes
    for name in learnt:
        moved, wanted = model.state_dict()[name] - before[name], after[f"layers.{name}"] - before[name]
        assert np.linalg.norm(moved - wanted) < 1e-3 * np.linalg.norm(wanted), name


def test_schedules_are_the_same():
    graph = nc.Model(nc.zoo.airbench94(), (32, 32, 3)).graph
    schedule = ours.settings(graph, 40_000).schedule
    assert ours.settings(graph, 40_000).batch_size * 38 < 40_000 <= ours.settings(graph, 40_000).batch_size * 39
    for step in range(0, 390, 13):
        assert schedule.factor(step / 390) == pytest.approx(airbench.factor(step, 390), abs=0.01)


def test_both_see_the_same_views(parts):
    model, peer = both(parts)
    images = airbench.normalised(parts, parts.held_out)
    for views, name in ((1, "plain"), (2, "flip"), (6, "flip-shift")):
        model.views = name
        theirs = airbench.logits_of(peer, images, views).numpy()
        assert np.allclose(model.logits(parts.held_out), theirs, rtol=1e-3, atol=1e-4), name


def test_epochs_are_mirrored_in_turns_and_shifted():
    images = torch.arange(3 * 32 * 32, dtype=torch.float32).view(1, 3, 32, 32).repeat(40, 1, 1, 1)
    epochs = airbench.epochs_of(images, torch.arange(40), 40, seed=0)
    rising = []
    for _ in range(2):
        x, y = next(next(epochs))
        middle = x[y.argsort()][:, 0, 16, 10:20]
        rising.append(middle.diff(dim=1).sign().mean(dim=1))
    assert set(rising[0].tolist()) == {-1.0, 1.0}
    assert (rising[0] == -rising[1]).all()


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_learns(name):
    labels = np.arange(64) % 2
    images = (noise(64, 28, 1) // 2 + 100 * labels[:, None, None, None]).astype(np.uint8)
    data = Parts("two", images, labels, images, labels, ("dark", "bright"), mirrors=False)
    torch.manual_seed(0)
    training = loop.Training(PEERS[name], data, bfloat16=False)
    for step, (x, y) in zip(range(12), loop.batches(data, 16, 0), strict=False):
        training.step(x, y, 0.2 + step / 20)
    assert training.accuracy() > 0.9


@pytest.mark.parametrize("name", PEERS)
def test_a_peer_takes_photographs(name):
    data = Parts("photos", noise(2, 96), np.arange(2), noise(2, 96), np.arange(2), ("a", "b"))
    training = loop.Training(PEERS[name], data, bfloat16=False)
    training.step(*next(loop.batches(data, 2, 0)), 0.5)
    assert 0.0 <= training.accuracy() <= 1.0


def test_changes_keep_images_where_there_is_nothing_to_change():
    x = torch.rand(4, 3, 16, 16)
    same = pictures.turns(0.0, 0.0)(x, False)
    assert torch.allclose(same, x, atol=1e-5)
    torch.manual_seed(0)
    mirrored = pictures.turns(0.0, 0.0)(x, True)
    for one, other in zip(mirrored, x, strict=True):
        assert torch.allclose(one, other, atol=1e-5) or torch.allclose(one, other.flip(-1), atol=1e-5)
    shifted = pictures.padded_crops(1)(x, False)
    assert shifted.shape == x.shape
    assert pictures.resized_crops(0.3)(x, True).amax() <= 1.0


def test_a_budget_is_spent_by_computing():
    budget = Budget(0.2)
    assert budget.share < 0.5
    while budget.share < 1.0:
        sum(range(1000))
    assert budget.spent >= 0.2


def test_a_row_has_the_mean_and_its_standard_error():
    found = [{"accuracy": share, "images": 400, "epochs": 2} for share in (0.8, 0.9)]
    error = 100 * math.sqrt(0.85 * 0.15 / 400)
    assert compare.row("data", "neocog", found) == f"| data | neocog | 85.00 ± {error:.2f} | 2 | 2, 2 | float32 |"


@pytest.mark.filterwarnings("ignore:bfloat16 is slower")
def test_both_precisions_learn_the_same_images():
    small = Parts("noise", noise(8, 12, 1), np.arange(8) % 3, noise(6, 12, 1), np.arange(6) % 3, ("a", "b", "c"))
    found = [precision.train(small, side, 1, images=6, epochs=1) for side in precision.SIDES]
    assert found[0].loss != found[1].loss
    assert found[0].loss == pytest.approx(found[1].loss, rel=0.02)
    difference, error = precision.difference(found, "loss")
    assert difference == found[1].loss - found[0].loss
    assert math.isnan(error)  # of one seed


def test_a_difference_of_precisions_is_the_mean_over_seeds():
    rows = [
        precision.Learnt(seed, side, 90 + seed + gain, 0.5)
        for seed in (0, 1)
        for side, gain in (("float32", 0.0), ("bfloat16", 0.5 - seed))
    ]
    assert precision.difference(rows, "accuracy") == pytest.approx((0.0, 0.5))
