"""Models remember which images shaped them, through training, files, and changes of their weights."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

import neocog as nc
from neocog.data.identity import identities_of_array
from neocog.errors import FormatError
from neocog.model.files import tensor_bytes
from neocog.model.modelfile import document_of

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.integers(0, 256, (12, 4, 4, 1), np.uint8)
LABELS = np.arange(12) % 2


def small() -> nc.Model:
    return nc.Model(nc.Sequential(nc.Flatten(), nc.Linear(2)), (4, 4, 1), engine="reference")


def test_a_new_model_learnt_from_nothing(tmp_path: Path) -> None:
    model = small()
    assert len(model.learnt_from) == 0
    model.save(tmp_path / "m.safetensors")
    loaded = nc.load(tmp_path / "m.safetensors")
    assert loaded.learnt_from.tolist() == []


def test_fit_on_arrays_notes_training_and_validation_images() -> None:
    model = small()
    model.fit(IMAGES[:6], LABELS[:6], epochs=1, validation_data=(IMAGES[6:8], LABELS[6:8]), verbose=0)
    assert (model.learnt_from == identities_of_array(IMAGES[:8])).all()
    model.fit(IMAGES[7:10], LABELS[7:10], epochs=1, verbose=0)  # trained further, on others
    assert (model.learnt_from == identities_of_array(IMAGES[:10])).all()


def test_images_drawn_for_validation_count() -> None:
    model = small()
    model.fit(IMAGES, LABELS, epochs=1, validation_split=0.5, verbose=0)
    assert (model.learnt_from == identities_of_array(IMAGES)).all()


def test_it_is_kept_in_the_file_bit_for_bit(tmp_path: Path) -> None:
    model = small()
    model.fit(IMAGES, LABELS, epochs=1, verbose=0)
    model.save(tmp_path / "m.safetensors")
    loaded = nc.load(tmp_path / "m.safetensors")
    assert loaded.learnt_from.dtype == np.uint64
    assert (loaded.learnt_from == model.learnt_from).all()
    loaded.save(tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == (tmp_path / "m.safetensors").read_bytes()
    assert (pickle.loads(pickle.dumps(loaded)).learnt_from == model.learnt_from).all()


def test_a_loop_of_ones_own_leaves_it_unknown_unless_it_says(tmp_path: Path) -> None:
    model = small()
    nc.Trainer(model).step(IMAGES, LABELS)
    assert model.learnt_from is None
    model.save(tmp_path / "m.safetensors")
    assert nc.load(tmp_path / "m.safetensors").learnt_from is None
    model = small()
    trainer = nc.Trainer(model, learnt_from=identities_of_array(IMAGES))
    assert model.learnt_from.tolist() == []
    trainer.step(IMAGES, LABELS)
    assert (model.learnt_from == identities_of_array(IMAGES)).all()


def test_parameters_from_elsewhere_do_not_say_what_they_learnt_from() -> None:
    trained = small()
    trained.fit(IMAGES, LABELS, epochs=1, verbose=0)
    model = small()
    model.load_parameters(trained.parameters)
    assert model.learnt_from is None


def test_going_back_to_a_better_epoch_forgets_nothing() -> None:
    for settings in ({"patience": 1}, {"callbacks": [nc.EarlyStopping("loss", 1, restore_best_weights=True)]}):
        model = small()
        model.fit(IMAGES, LABELS, epochs=4, verbose=0, optimizer=nc.SGD(5.0), **settings)
        assert (model.learnt_from == identities_of_array(IMAGES)).all()


def test_the_tensors_of_a_model_file_are_a_state_dict_that_knows_what_it_learnt_from(tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    model = small()
    model.fit(IMAGES, LABELS, epochs=1, verbose=0)
    model.save(tmp_path / "m.safetensors")
    other = small()
    other.load_state_dict(load_file(tmp_path / "m.safetensors"))
    assert (other.learnt_from == model.learnt_from).all()
    assert (other(IMAGES) == model(IMAGES)).all()


def test_weights_from_elsewhere_do_not_say_what_they_learnt_from() -> None:
    model = small()
    model.load_state_dict(small().state_dict())
    assert model.learnt_from is None


@pytest.mark.parametrize(
    "values", [np.array([2, 1], np.uint64), np.array([1, 1], np.uint64), np.array([[1, 2]], np.uint64)]
)
def test_a_file_whose_set_of_images_is_none_is_refused(tmp_path: Path, values: np.ndarray) -> None:
    model = small()
    path = tmp_path / "m.safetensors"
    path.write_bytes(tensor_bytes(document_of(model), model.state_dict(), {"learnt_from": values}))
    with pytest.raises(FormatError, match="tensor learnt_from must be one row of rising numbers"):
        nc.load(path)


def test_a_set_of_images_in_another_type_is_refused(tmp_path: Path) -> None:
    model = small()
    path = tmp_path / "m.safetensors"
    path.write_bytes(tensor_bytes(document_of(model), {**model.state_dict(), "learnt_from": np.ones(2, np.float32)}))
    with pytest.raises(FormatError, match="tensor 'learnt_from' must be of type U64, got F32"):
        nc.load(path)


def test_pytorch_reads_a_model_that_knows_what_it_learnt_from(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    model = small()
    model.fit(IMAGES, LABELS, epochs=1, verbose=0)
    model.save(tmp_path / "m.safetensors")
    state = load_file(tmp_path / "m.safetensors")
    assert (state.pop("learnt_from").numpy() == model.learnt_from).all()
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(16, 2))
    net.load_state_dict(state)


def test_images_that_fitted_probabilities_count() -> None:
    model = small()
    model.calibrate(IMAGES[:4], LABELS[:4])
    assert (model.learnt_from == identities_of_array(IMAGES[:4])).all()
    model.learnt_from = None  # what nobody knows stays unknown
    model.calibrate(IMAGES[:4], LABELS[:4])
    assert model.learnt_from is None


def test_images_that_fitted_thresholds_count() -> None:
    model = nc.Model(
        nc.Sequential(nc.Flatten(), nc.Linear(2)), (4, 4, 1), engine="reference", loss=nc.BinaryCrossEntropy()
    )
    model.fit_thresholds(IMAGES[4:], np.eye(2)[LABELS[4:]])
    assert (model.learnt_from == identities_of_array(IMAGES[4:])).all()
