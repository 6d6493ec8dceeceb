"""Models from a hub: huggingface_hub itself, against a hub on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

import neocog as nc
from hub_models import PICTURES, assert_same, config_of, put_pushed, put_timm, safetensors_of
from hub_server import TOKEN
from neocog.errors import FormatError, NeocogError, SettingError
from neocog.interop.architectures import Architecture
from neocog.interop.hub.load import from_hub
from neocog.interop.hub.timm import KNOWN, read_config
from neocog.interop.pytorch.names import schemes
from neocog.model.network import Network
from neocog.model.origin import Origin
from neocog.nn.zoo import MODELS
from neocog.train.model import Model


def test_a_model_of_timm_comes_with_weights_pictures_and_where_it_is_from(hub):
    twin = put_timm(hub)
    model = from_hub("timm/mobilenetv1_100.test", engine="reference")
    assert isinstance(model, Model)
    assert_same(model, twin)
    assert model.input_shape == (32, 32, 3)
    assert str(model.resize) == "short=33,bicubic"
    assert model.graph.normalisation.mean == (0.485, 0.456, 0.406)
    assert model.graph.normalisation.std == (0.229, 0.224, 0.225)
    assert model.class_names == ("0", "1", "2")
    found = hub.repositories["timm/mobilenetv1_100.test"]
    digest = hashlib.sha256(found.files["model.safetensors"]).hexdigest()
    assert model.origin == Origin(
        f"timm/mobilenetv1_100.test@{found.commit}",
        "apache-2.0",
        digest,
        "timm's mobilenetv1_100, 3 classes, whose names are not said",
    )
    assert model.learnt_from is None


def test_its_answers_are_those_of_the_same_weights_and_pictures(hub, tmp_path):
    from PIL import Image

    twin = put_timm(hub)
    pixels = np.random.default_rng(0).integers(0, 256, (50, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    got = from_hub("timm/mobilenetv1_100.test", engine="reference").predict_proba([tmp_path / "a.png"])
    small = Image.fromarray(pixels).resize((33, 41), Image.Resampling.BICUBIC)
    cut = np.asarray(small.crop((0, 4, 32, 36)), np.float64)
    values = (cut / 255 - PICTURES["mean"]) / PICTURES["std"]
    want = twin.predict_proba(values[None].astype(np.float32))
    np.testing.assert_allclose(got, want, rtol=1e-4)


@pytest.mark.parametrize("names", [["cat", "dog", "owl"], {"0": "cat", "1": "dog", "2": "owl"}])
def test_names_of_classes_are_those_of_the_config_or_of_the_caller(hub, names):
    put_timm(hub, label_names=names)
    assert from_hub("timm/mobilenetv1_100.test").class_names == ("cat", "dog", "owl")
    given = from_hub("timm/mobilenetv1_100.test", class_names=["a", "b", "c"])
    assert given.class_names == ("a", "b", "c")


def test_a_config_of_before_2022_has_all_on_top(hub):
    twin = put_timm(hub)
    old = json.dumps({"architecture": "mobilenetv1_100", "num_classes": 3, "labels": ["x", "y", "z"], **PICTURES})
    hub.repositories["timm/mobilenetv1_100.test"].files["config.json"] = old.encode()
    model = from_hub("timm/mobilenetv1_100.test", engine="reference")
    assert model.class_names == ("x", "y", "z")
    assert_same(model, twin)


@pytest.mark.parametrize(
    ("entries", "said"),
    [
        ({"architecture": "vit_base_patch16_224"}, "does not have the network 'vit_base_patch16_224'"),
        ({"architecture": None, "architectures": ["BertModel"]}, "for transformers' ['BertModel']"),
        ({"architecture": 7}, "does not say which network"),
        ({"model_args": {"act_layer": "silu"}}, "no plain mobilenetv1_100"),
        ({"num_classes": 0}, "num_classes must be an integer of at least 1, got 0"),
        ({"num_classes": 10**12}, "num_classes must be at most"),
        ({"pretrained_cfg": [1]}, "pretrained_cfg must be an object"),
        ({"pretrained_cfg": {**PICTURES, "input_size": [1, 28, 28]}}, "input_size must be 3 channels"),
        ({"pretrained_cfg": {**PICTURES, "input_size": [3, 9999, 9999]}}, "input_size must be 3 channels of at most"),
        ({"pretrained_cfg": {**PICTURES, "crop_pct": 1e-9}}, "side must be a whole number"),
        ({"pretrained_cfg": {**PICTURES, "interpolation": "lanczos"}}, "interpolation must be one of"),
        ({"pretrained_cfg": {**PICTURES, "crop_pct": 0}}, "crop_pct must be a number above 0"),
        ({"pretrained_cfg": {**PICTURES, "crop_mode": "border"}}, "crop_mode must be center"),
        ({"pretrained_cfg": {**PICTURES, "mean": None}}, "mean must be a list of numbers"),
        ({"pretrained_cfg": {**PICTURES, "std": [1, 1, "x"]}}, "std must be a list of numbers"),
    ],
)
def test_what_neocog_cannot_run_is_refused_before_weights_are_fetched(hub, entries, said):
    hub.add("timm/x", {"config.json": config_of(**entries), "model.safetensors": b"0" * 20_000})
    with pytest.raises(FormatError) as refused:
        from_hub("timm/x")
    assert said in str(refused.value)
    assert "timm/x: config.json" in str(refused.value)
    assert not hub.paths("GET", "store")


def test_a_network_that_is_not_there_is_told_with_those_that_are(hub):
    hub.add("timm/x", {"config.json": config_of("resnet19")})
    with pytest.raises(FormatError) as refused:
        from_hub("timm/x")
    assert "resnet18, resnet34, resnet50" in str(refused.value)
    assert "the nearest is resnet18" in str(refused.value)


@pytest.mark.parametrize("name", KNOWN)
def test_every_network_of_the_list_is_one_of_the_zoo(name):
    config = read_config("here", json.loads(config_of(name)))
    assert config.architecture.name in MODELS
    assert config.architecture.tensorflow == name.startswith("tf_")


def test_names_of_tensors_may_be_timms(hub):
    """Those of a MobileNetV3 differ from torchvision's, which the zoo has."""
    network = Network(
        Architecture.named("mobilenetv3_small_100").graph(3, (32, 32, 3)), (32, 32, 3), seed=7, engine="reference"
    )
    names = schemes(network.graph)["timm's"]
    state = network.state_dict()
    state = {theirs: state[own] for theirs, own in names.items()}
    assert state.keys() != network.state_dict().keys()
    files = {"config.json": config_of("mobilenetv3_small_100"), "model.safetensors": safetensors_of(state)}
    hub.add("timm/mobilenetv3_small_100.test", files)
    model = from_hub("timm/mobilenetv3_small_100.test", engine="reference")
    assert_same(model, network)
    assert {node.layer.epsilon for node in model.graph.nodes if isinstance(node.layer, nc.BatchNorm2d)} == {1e-5}
    assert model.origin is not None
    assert model.origin.licence is None


def test_weights_of_another_network_are_refused(hub):
    put_timm(hub, architecture="resnet18")
    with pytest.raises(NeocogError):
        from_hub("timm/mobilenetv1_100.test")


def test_a_model_that_was_pushed_comes_back_as_it_was(hub):
    sent = put_pushed(hub)
    model = from_hub("me/dark-or-bright", engine="reference")
    assert_same(model, sent)
    assert model.class_names == ("dark", "bright")
    assert model.origin is not None
    assert model.origin.source == f"me/dark-or-bright@{hub.repositories['me/dark-or-bright'].commit}"
    assert model.learnt_from is None


def test_what_it_computes_with_is_the_callers(hub):
    put_pushed(hub)
    assert from_hub("me/dark-or-bright").precision == "float32"
    assert from_hub("me/dark-or-bright", precision="bfloat16").precision == "bfloat16"
    hub.asked.clear()
    with pytest.raises(SettingError, match="precision must be"):
        from_hub("me/dark-or-bright", precision="float16")
    assert not hub.asked
    with pytest.raises(SettingError, match="int8 needs scales"):
        from_hub("me/dark-or-bright", precision="int8")


def test_what_comes_damaged_over_the_network_is_refused(hub):
    put_pushed(hub)
    hub.damaged = True
    with pytest.raises(FormatError, match="is damaged: its digest is"):
        from_hub("me/dark-or-bright")


def test_the_token_goes_to_the_hub_and_not_to_the_store(hub, monkeypatch):
    put_pushed(hub, private=True)
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    from_hub("me/dark-or-bright")
    at = {asked.server: [] for asked in hub.asked}
    for asked in hub.asked:
        at[asked.server].append(asked.headers.get("authorization"))
    assert set(at["hub"]) == {f"Bearer {TOKEN}"}
    assert set(at["store"]) == {None}


def test_requests_say_that_they_are_neocogs_and_nothing_of_the_machine(hub):
    put_pushed(hub)
    from_hub("me/dark-or-bright")
    for asked in hub.asked:
        agent = asked.headers["user-agent"]
        assert agent.startswith("neocog/"), asked
        assert "torch" not in agent


def test_a_revision_is_asked_for_by_its_name(hub):
    sent = put_pushed(hub)
    commit = hub.repositories["me/dark-or-bright"].commit
    assert_same(from_hub(f"me/dark-or-bright@{commit}"), sent)
    with pytest.raises(NeocogError, match="has no revision 'v9'"):
        from_hub("me/dark-or-bright@v9")


def test_the_environment_is_enough(hub, tmp_path):
    """A process of its own, which nothing was set up for but the variables that a user would set."""
    put_pushed(hub, private=True)
    environment = {
        **os.environ,
        "HF_ENDPOINT": hub.address,
        "HF_HOME": str(tmp_path / "home"),
        "HF_TOKEN": TOKEN,
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    script = (
        "import neocog as nc\n"
        "from neocog.interop.pretrained import at_hand\n"
        "at_hand()\n"  # it looks into the cache: telemetry must be off by then
        "print(nc.from_hub('me/dark-or-bright').class_names)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "('dark', 'bright')", done.stderr
    assert TOKEN not in done.stderr
    assert not [
        asked
        for asked in hub.asked
        if "torch" in asked.headers["user-agent"] or ("/resolve/" not in asked.path and asked.server == "hub")
    ]
    offline = {**environment, "HF_HUB_OFFLINE": "1", "HF_ENDPOINT": "http://127.0.0.1:9"}
    again = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=offline)
    assert again.stdout == done.stdout, again.stderr


def test_importing_neocog_loads_nothing_of_it():
    script = "import sys, neocog; print([name for name in sys.modules if 'huggingface' in name or 'httpx' in name])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr


def test_without_the_extra_it_says_what_to_install():
    script = (
        "import sys; sys.modules['huggingface_hub'] = None\n"
        "import neocog as nc\n"
        "try:\n    nc.from_hub('timm/resnet18.a1_in1k')\nexcept nc.NeocogError as error:\n    print(error)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "pip install 'neocog[hub]'" in done.stdout, done.stderr


def test_no_warning_comes_where_all_is_well(hub):
    put_pushed(hub)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        from_hub("me/dark-or-bright")


def test_a_file_that_is_too_large_to_be_a_config_is_not_read(hub, monkeypatch):
    put_pushed(hub)
    monkeypatch.setattr("neocog.interop.hub.load.MOST_CONFIG", 10)
    with pytest.raises(FormatError, match=r"config.json is not what a model has: it holds"):
        from_hub("me/dark-or-bright")


def test_the_cache_is_where_huggingface_hub_has_it(hub, cache):
    put_pushed(hub)
    from_hub("me/dark-or-bright")
    assert (cache / "models--me--dark-or-bright" / "refs" / "main").is_file()
    assert isinstance(cache, Path)


def test_progress_is_shown_on_a_terminal_and_nowhere_else(hub, tmp_path):
    pty, termios = (pytest.importorskip(name, reason="this system has no terminals") for name in ("pty", "termios"))
    put_pushed(hub)
    script = "import sys, neocog as nc; nc.from_hub('me/dark-or-bright', quiet='quiet' in sys.argv)"
    environment = {**os.environ, "HF_ENDPOINT": hub.address, "PYTHONPATH": os.pathsep.join(sys.path)}

    def shown(home: str, *words: str) -> bytes:
        ours, theirs = pty.openpty()
        termios.tcsetwinsize(theirs, (24, 100))
        command = [sys.executable, "-c", script, *words]
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            subprocess.run(command, stderr=theirs, env={**environment, "HF_HOME": str(tmp_path / home)}, check=True)
            os.close(theirs)
            said = b""
            with contextlib.suppress(OSError):  # as Linux says that the other end is closed
                while more := terminal.read(4096):
                    said += more
            return said

    said = shown("one")
    assert b"model.safetensors: 100%" in said
    assert b"config.json" not in said
    assert shown("two", "quiet") == b""
    done = subprocess.run(
        [sys.executable, "-c", script], stderr=subprocess.PIPE, env={**environment, "HF_HOME": str(tmp_path / "three")}
    )
    assert done.stderr == b""
