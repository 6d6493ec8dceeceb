"""Models to a hub: what is sent, what the card says, what is refused."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hub_models import WIDE, assert_same
from hub_server import LARGE, TOKEN
from neocog.errors import NeocogError, SettingError
from neocog.interop.hub.card import Figures, card_of, licence_in
from neocog.interop.hub.load import from_hub
from neocog.interop.hub.push import files_of, push
from neocog.interop.hub.repository import Repository
from neocog.model.origin import Origin
from neocog.train.evaluation import evaluate
from neocog.train.model import Model
from small_models import brightnesses, make_small

HERE = Repository("me/dark-or-bright")


@pytest.fixture
def model() -> Model:
    """A model whose file is large enough to be sent to the store."""
    return make_small(Model, WIDE)


@pytest.fixture
def signed(hub, monkeypatch):
    """The hub, and a token that may write to it."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


def test_what_was_sent_comes_back(signed, model):
    model.origin = Origin("timm/resnet18.a1_in1k", "Apache-2.0")
    address = push(files_of(model, HERE), HERE)
    found = signed.repositories["me/dark-or-bright"]
    assert address == f"{signed.address}/me/dark-or-bright/commit/{found.commit}"
    assert sorted(found.files) == ["README.md", "config.json", "model.safetensors"]
    assert found.private
    assert len(found.files["model.safetensors"]) > LARGE
    assert signed.paths("PUT", "store")  # it went the way of large files
    got = from_hub("me/dark-or-bright", engine="reference")
    assert_same(got, model)
    assert got.class_names == model.class_names
    assert got.origin is not None
    assert got.origin.licence == "apache-2.0"
    assert "it began with timm/resnet18.a1_in1k, licence Apache-2.0" in str(got.origin.about)


def test_what_is_there_already_gets_another_commit(signed, model):
    first = push(files_of(model, HERE), HERE, public=True)
    assert not signed.repositories["me/dark-or-bright"].private
    model.class_names = ("night", "day")
    assert push(files_of(model, HERE), HERE) != first
    assert from_hub("me/dark-or-bright").class_names == ("night", "day")


def test_nobody_can_tell_from_it_what_the_model_was_trained_on(model):
    model.learnt_from = np.array([3, 5, 8], np.uint64)
    files = files_of(model, HERE)
    assert b"learnt_from" not in files["model.safetensors"]
    assert model.learnt_from is not None  # the model itself is as it was


def test_the_token_is_neither_shown_nor_sent_to_the_store(signed, model, capfd):
    push(files_of(model, HERE), HERE)
    said = capfd.readouterr()
    assert TOKEN not in said.out + said.err
    for asked in signed.asked:
        assert ("authorization" in asked.headers) == (asked.server == "hub")


def test_without_a_token_it_says_what_to_set(hub, model):
    with pytest.raises(NeocogError, match="the hub answers 401") as refused:
        push(files_of(model, HERE), HERE)
    assert "set HF_TOKEN to a token of your account" in str(refused.value)


def test_what_belongs_to_somebody_else_is_refused(signed, model):
    with pytest.raises(NeocogError, match="cannot be written: the hub answers 403: You don't have the rights"):
        push(files_of(model, HERE), Repository("somebody-else/x"))


def test_a_hub_that_is_out_of_order_is_told(signed, model):
    signed.status = 500
    with pytest.raises(NeocogError, match="the hub answers 500"):
        push(files_of(model, HERE), HERE)


def test_where_no_hub_answers_nobody_is_sent_to_the_cache(signed, model, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    with pytest.raises(NeocogError, match=r"cannot be written: the hub at .* does not answer") as caught:
        push(files_of(model, HERE), HERE)
    assert caught.value.hint == "check the network and HF_ENDPOINT"


def test_offline_nothing_is_sent(signed, model, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(NeocogError, match="me/dark-or-bright cannot be written: HF_HUB_OFFLINE is set"):
        push(files_of(model, HERE), HERE)
    assert not signed.asked


def test_a_revision_cannot_be_written_to(model):
    with pytest.raises(SettingError, match="written to the main branch"):
        push({}, Repository("me/x", "v1"))


def front_of(card: str) -> dict[str, object]:
    yaml = pytest.importorskip("yaml", reason="it comes with huggingface_hub")
    return yaml.safe_load(card.split("---\n")[1])


def test_the_card_says_what_the_model_is(model):
    images, labels = brightnesses()
    measured = Figures(evaluate(model, [(images, labels)]), "test")
    model.origin = Origin("timm/resnet18.a1_in1k@0123", "Apache-2.0", "ab" * 32)
    card = card_of(model, HERE, measured=measured)
    assert front_of(card) == {
        "library_name": "neocog",
        "pipeline_tag": "image-classification",
        "tags": ["neocog", "image-classification"],
        "metrics": ["accuracy"],
        "license": "apache-2.0",
        "base_model": "timm/resnet18.a1_in1k",
    }
    right = measured.evaluation.accuracy
    low, high = measured.evaluation.accuracy_interval
    assert f"**{100 * right:.2f} %** of 60 test images (95 %: {100 * low:.1f} to {100 * high:.1f})" in card
    assert "neocog predict hub:me/dark-or-bright picture.jpg" in card
    assert "brought to 6 × 6 pixels (stretch)" in card
    assert f"SHA-256 `{'ab' * 32}`" in card
    assert "dark" in card
    assert "bright" in card


def test_a_card_without_figures_says_that_it_has_none(model):
    card = card_of(model, HERE, licence="My own terms")
    assert "Not known: the images" in card
    assert front_of(card)["license"] == "other"
    assert front_of(card)["license_name"] == "my-own-terms"
    assert licence_in(card) == "my-own-terms"


def test_names_of_classes_cannot_make_anything_of_the_card(model):
    model.class_names = ("---\nlicense: mit", "# [x](http://y) ```<script>")
    card = card_of(model, HERE)
    front = front_of(card)
    assert "license" not in front
    lines = card.splitlines()
    assert not [line for line in lines if line.startswith(("# [x]", "license:"))]
    assert next(line for line in lines if "<script>" in line).startswith("    ")


def test_config_json_names_what_people_look_for(model):
    config = json.loads(files_of(model, HERE)["config.json"])
    assert config["library_name"] == "neocog"
    assert config["label_names"] == ["dark", "bright"]
    assert config["input"]["height"] == 6


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        ("---\nlicense: mit\n---\n", "mit"),
        ('\ufeff---\r\ntags:\r\n- x\r\nlicense: "cc-by-4.0"\r\n---\r\n', "cc-by-4.0"),
        ("---\nlicense: other\nlicense_name: apple-ascl\n---\n", "apple-ascl"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\ntags: []\n---\nlicense: mit\n", None),
        ("# no front matter\nlicense: mit", None),
        ("", None),
        ("---\n---\n", None),
        ("---\nlicense: \x1b[2Jmit\n---\n", "\\x1b[2Jmit"),
    ],
)
def test_the_licence_of_a_card_is_that_of_its_front_matter(text, licence):
    assert licence_in(text) == licence
