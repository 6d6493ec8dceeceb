"""Which images a model learnt from, as the verbs ask it."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

import neocog as nc
from neocog.app.cli.learnt import is_other_data
from neocog.data import encoded, files
from neocog.data.dataset import Source
from neocog.data.files import FileDataset
from neocog.data.identity import identities_in


def pictures(root: Path, values: range) -> FileDataset:
    root.mkdir()
    for value in values:
        Image.new("L", (4, 4), value).save(root / f"{value}.png")
    return FileDataset(root, [(f"{value}.png", value % 2) for value in values], ["a", "b"])


@pytest.fixture
def learnt_from(tmp_path: Path) -> tuple[nc.Model, FileDataset]:
    """Return a model, and the 100 images that it learnt from."""
    data = pictures(tmp_path / "mine", range(100))
    model = nc.Model(nc.Sequential(nc.Flatten(), nc.Linear(2)), (4, 4, 1))
    model.learnt_from = identities_in([data])
    return model, data


def test_other_data_share_no_image_with_those_that_the_model_learnt_from(
    learnt_from: tuple[nc.Model, FileDataset], tmp_path: Path
) -> None:
    model, data = learnt_from
    other = pictures(tmp_path / "other", range(150, 170))
    assert not is_other_data(model, Source("mine", "images", unsplit=data))
    assert is_other_data(model, Source("other", "images", train=other))
    assert not is_other_data(model, Source("none", "images"))
    for path in (tmp_path / "other").iterdir():
        path.unlink()
    other = FileDataset(tmp_path / "other", other.samples, other.class_names)
    assert not is_other_data(model, Source("lost", "images", train=other))  # nothing is known of it


def test_to_tell_other_data_a_few_files_are_read_and_none_is_decoded(
    learnt_from: tuple[nc.Model, FileDataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    model, data = learnt_from
    data = FileDataset(data.root, data.samples, data.class_names)
    read: list[Path] = []
    digest = files.file_digest

    def note(path: Path) -> bytes:
        read.append(path)
        return digest(path)

    monkeypatch.setattr(files, "file_digest", note)
    for name in ("fit_image", "read_open_header", "read_open_image"):
        monkeypatch.setattr(encoded, name, lambda *_, **__: pytest.fail("an image was decoded"))
    assert not is_other_data(model, Source("mine", "images", train=data))
    assert len(read) == 64
    assert {data.path(0), data.path(99)} < set(read)
