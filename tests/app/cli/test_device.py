"""--device: where the torch engine computes, and what is said where that cannot be."""

import sys
from pathlib import Path

import pytest

from neocog.app.cli.options import DeviceOption

torch = pytest.importorskip("torch", reason="PyTorch is not installed")


@pytest.mark.parametrize(
    ("given", "device"), [("CPU", "cpu"), ("cuda", "cuda"), ("cuda:1", "cuda:1"), ("0", "cuda:0"), ("xpu", "xpu")]
)
def test_devices_have_pytorchs_names_and_gpus_a_number(given, device):
    assert DeviceOption().convert(given, None, None) == device


def test_what_is_no_device_is_refused(run):
    assert (
        "--device must be cpu, cuda, or one GPU such as cuda:1, got 'cuda:x'"
        in run("train", "digits", "--engine", "torch", "--device", "cuda:x").err
    )


def test_other_engines_have_no_device(run):
    text = run("train", "digits", "device=cuda").err
    assert "--device cuda is for the torch engine, and this is the native one" in text
    assert "write --engine torch --device cuda" in text


def test_a_gpu_that_is_not_there_is_told_before_anything_is_read(run, tmp_path):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    for verb in (["train", str(tmp_path / "nowhere")], ["evaluate", "model.safetensors", "digits"]):
        text = run(*verb, "--engine", "torch", "--device", "cuda").err
        assert "the torch engine cannot run on the device 'cuda':" in text
        assert "--device cpu" in text
    assert not list(Path(tmp_path).iterdir())


def test_without_pytorch_its_extra_is_named(run, monkeypatch):
    monkeypatch.delitem(sys.modules, "neocog.engines.torch", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    text = run("train", "digits", "--engine", "torch", "--device", "cuda").err
    assert "the torch engine needs PyTorch, which is not installed" in text
    assert "pip install 'neocog[torch]'" in text
