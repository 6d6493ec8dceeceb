"""The comparison on a GPU runs on processors too, with a few images: both sides compute the same, and are timed."""

import json

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

from benchmarks import gpu  # noqa: E402


def test_both_sides_compute_the_same_and_are_timed(capsys):
    assert gpu.main(["--tiny"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["precision"] == "float32"
    for name in ("airbench94", "resnet18"):
        found = told[name]
        assert found["logits differ by"] < 1e-4
        assert found["first losses differ by"] < 1e-3
        rates = [found[f"{side}: images a second"] for side in ("neocog", "by hand")]
        assert found["neocog / by hand"] == pytest.approx(rates[0] / rates[1])
        assert min(rates) > 0


def test_sides_that_differ_are_not_timed():
    machine = gpu.Machine("cpu", bfloat16=False, compiled=False)
    recipe = gpu.Photographs(machine, 2, 2, 32, 1)
    with torch.no_grad():
        other = recipe.module()
        other.fc.weight.mul_(1.01)
    recipe.module = lambda: other
    with pytest.raises(AssertionError, match="resnet18: logits differ by"):
        gpu.compare(recipe, machine)


def test_without_a_gpu_the_command_says_so(capsys):
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(SystemExit):
        gpu.main([])
    assert "PyTorch sees no GPU here; --tiny shows" in capsys.readouterr().err
