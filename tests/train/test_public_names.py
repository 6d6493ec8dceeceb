import doctest
import importlib
import subprocess
import sys

import pytest

import neocog as nc
from neocog.data.augment.words import TRANSFORMS
from neocog.nn.layers import LAYERS
from neocog.nn.optimizers import OPTIMIZERS


def test_importing_neocog_loads_nothing_heavy():
    script = "import sys, neocog; print(*sorted({m.split('.')[0] for m in sys.modules} & set(sys.argv[1:])))"
    heavy = ["numpy", "llvmlite", "torch", "PIL", "safetensors", "tqdm"]
    done = subprocess.run([sys.executable, "-c", script, *heavy], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_loading_a_model_loads_no_engine(tmp_path):
    script = (
        "import sys, neocog as nc; m = nc.Model(nc.Sequential(nc.Flatten(), nc.Linear(2)), (2, 2, 1)); "
        f"m.save({str(tmp_path / 'm')!r}); nc.load({str(tmp_path / 'm')!r}).summary(); "
        "assert not {'llvmlite', 'torch', 'tqdm'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", script], check=True)


def test_every_public_name_is_there():
    assert len(set(nc.__all__)) == len(nc.__all__)
    for name in nc.__all__:
        assert getattr(nc, name) is not None
        assert name in dir(nc)
    listed = {kind.__name__ for kind in (*LAYERS, *OPTIMIZERS, *TRANSFORMS)}
    assert set(nc._HOME_OF) | listed | {"explain", "zoo", "__version__"} == set(nc.__all__)
    assert nc.zoo.article().layers
    assert nc.explain.lesson_model().class_names


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Conv3d'"):
        nc.Conv3d  # noqa: B018


@pytest.mark.parametrize(
    "name",
    [
        *(f"model.{room}" for room in ("arguments", "kinds", "network", "pictures", "statedict")),
        *(f"train.{room}" for room in ("callbacks", "history", "model", "source", "trainer")),
    ],
)
def test_the_examples_of_docstrings_hold(name):
    found = doctest.testmod(importlib.import_module(f"neocog.{name}"))
    assert found.attempted
    assert not found.failed
