"""What ResNet-20 is shown of CIFAR-10, and that its training runs."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from benchmarks.cifar import SHIFT, ShiftedAndMirrored, divide, main
from neocog.data.sources import read_source


def batches_of(source: ShiftedAndMirrored, epoch: int) -> tuple[np.ndarray, np.ndarray]:
    """Return all images and labels of an epoch."""
    images, labels = zip(*source.batches(epoch), strict=True)
    return np.concatenate(images), np.concatenate(labels)


def test_an_epoch_shows_every_image_once_shifted_and_mirrored() -> None:
    images = np.random.default_rng(0).integers(1, 256, (300, 6, 5, 3), np.uint8)
    shown, labels = batches_of(ShiftedAndMirrored(images, np.arange(300)), 0)
    assert sorted(labels) == list(range(300))
    found = set()
    for picture, label in zip(shown, labels, strict=True):
        padded = np.pad(images[label], ((SHIFT, SHIFT), (SHIFT, SHIFT), (0, 0)))
        ways = {
            (down, right, mirrored)
            for down in range(2 * SHIFT + 1)
            for right in range(2 * SHIFT + 1)
            for mirrored in (False, True)
            if np.array_equal(padded[down : down + 6, right : right + 5][:, :: -1 if mirrored else 1], picture)
        }
        assert ways
        found |= ways if len(ways) == 1 else set()
    assert {mirrored for *_, mirrored in found} == {False, True}
    assert {right for _, right, _ in found} >= set(range(1, 2 * SHIFT))


def test_an_epoch_is_the_same_whenever_it_is_asked_for_and_no_other() -> None:
    images = np.random.default_rng(0).integers(0, 256, (40, 8, 8, 3), np.uint8)
    source = ShiftedAndMirrored(images, np.arange(40), seed=3)
    first = batches_of(source, 1)
    batches_of(source, 0)
    for again, before in zip(batches_of(source, 1), first, strict=True):
        np.testing.assert_array_equal(again, before)
    assert not np.array_equal(batches_of(source, 2)[0], first[0])
    assert not np.array_equal(batches_of(ShiftedAndMirrored(images, np.arange(40), seed=4), 1)[0], first[0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder of five batches of four images; the images of batch b are of the grey 40 b."""
    batches = tmp_path / "cifar"
    batches.mkdir()
    for batch in range(1, 6):
        rows = np.full((4, 3073), 40 * batch, np.uint8)
        rows[:, 0] = np.arange(4)
        (batches / f"data_batch_{batch}.bin").write_bytes(rows.tobytes())
    return batches


def test_the_last_file_is_held_out(folder: Path) -> None:
    data = read_source(folder).train
    assert data is not None
    x, y, held_out, classes = divide(data)
    assert sorted(set(x.flatten().tolist())) == [40, 80, 120, 160]
    assert set(held_out.flatten().tolist()) == {200}
    assert (y.shape, classes.shape) == ((16,), (4,))


def test_a_training_runs_and_goes_on(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("torch")
    words = [str(folder), "--engine", "torch", "--output", str(tmp_path / "run")]
    assert main([*words, "--epochs", "1"]) == 0
    once = json.loads(capsys.readouterr().out)
    assert len(once["accuracy after each epoch"]) == 1
    assert main([*words, "--epochs", "2"]) == 0
    twice = json.loads(capsys.readouterr().out)
    assert twice["loss of each epoch"][:1] == once["loss of each epoch"]
    assert twice["accuracy"] == twice["accuracy after each epoch"][-1]
