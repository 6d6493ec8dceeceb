"""`neocog export --to pytorch`: a module and its weights, which PyTorch has answered with."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save

import neocog as nc
from neocog.interop.pytorch import export


def test_a_module_and_its_weights_are_written(run: Any, trained_once: Any, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file

    done = run("export", trained_once[0], "--to", "pytorch", "--output", tmp_path / "net.py")
    assert done.code == 0, done.err
    assert "by PyTorch" in done.out
    names: dict[str, Any] = {}
    exec((tmp_path / "net.py").read_text(), names)
    module = names["Network"]()
    module.load_state_dict(load_file(tmp_path / "net_weights.safetensors"))
    model = nc.load(trained_once[0] / "model.safetensors")
    assert names["CLASSES"] == list(model.class_names)
    x = np.random.default_rng(0).integers(0, 256, (2, *model.input_shape), np.uint8)
    with torch.no_grad():
        got = module.eval()(torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))).numpy()
    np.testing.assert_allclose(got, model(x), rtol=1e-4, atol=1e-5)


def test_without_pytorch_it_says_that_nobody_compared(
    run: Any, trained_once: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("neocog.app.cli.export_pytorch", export.__name__):
        monkeypatch.setattr(f"{module}.find_spec", lambda name: None)
    done = run("export", trained_once[0], "--to", "pytorch", "-o", tmp_path / "net.py", "--json")
    told = json.loads(done.out)
    assert told["difference"] is None
    assert Path(told["weights"]).stat().st_size == told["bytes"]
    assert "nobody" in run("export", trained_once[0], "--to", "pytorch", "-o", tmp_path / "net.py").out


def test_flags_of_other_formats_are_refused(run: Any, trained_once: Any) -> None:
    assert "--fold is not for --to pytorch" in run("export", trained_once[0], "--to", "pytorch", "--fold").err


def test_files_that_no_export_wrote_are_left_as_they_are(run: Any, trained_once: Any, tmp_path: Path) -> None:
    path, weights = tmp_path / "net.py", tmp_path / "net_weights.safetensors"
    words = ("export", trained_once[0], "--to", "pytorch", "-o", path)
    told = "is there already, and was not written by an export"
    path.write_text("mine")
    done = run(*words)
    assert done.code == 2
    assert f"{path} {told}" in done.err
    assert path.read_text() == "mine"
    path.unlink()
    weights.write_bytes(b"mine")
    done = run(*words)
    assert done.code == 2
    assert f"{weights} {told}" in done.err
    assert weights.read_bytes() == b"mine"
    assert not path.exists()
    weights.unlink()
    path.touch()  # empty, as of mktemp
    assert run(*words).code == run(*words).code == 0  # the second in place of the first
    written = weights.read_bytes()
    path.unlink()
    assert run(*words).code == 0  # without its module, the file of weights is known by itself
    assert weights.read_bytes() == written
    before = save({"a": np.zeros(1, np.float32)}, {"format": "pt"})  # as files of weights began once, and others' do
    weights.write_bytes(before)
    assert run(*words).code == 0
    path.unlink()
    weights.write_bytes(before)
    assert f"{weights} {told}" in run(*words).err
    weights.unlink()
    assert run(*words).code == 0
    shutil.copy(trained_once[0] / "model.safetensors", weights)
    model = weights.read_bytes()
    for source in (trained_once[0], weights):
        done = run("export", source, "--to", "pytorch", "-o", path)
        assert done.code == 2
        assert f"{weights} {told}" in done.err
    assert weights.read_bytes() == model
