"""`neocog push`, and models on a hub where verbs take a model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hub_models import put_timm
from hub_server import TOKEN
from hub_server import cache as cache
from hub_server import hub as hub
from neocog.app.cli.explain import open_session
from neocog.model.modelfile import load_network
from neocog.model.network import Network


@pytest.fixture
def signed(hub, monkeypatch):
    """The hub, and a token that may write to it."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    return hub


def picture_of(photos: Path) -> Path:
    return next(photos.rglob("*.png"), None) or next(photos.rglob("*.jpg"))


def test_a_run_goes_to_the_hub_and_answers_from_there(run, signed, trained, trained_once):
    done = run("push", trained, "me/photos", "--license", "cc-by-4.0", "--quiet")
    assert done.code == 0, done.err
    found = signed.repositories["me/photos"]
    assert f"{signed.address}/me/photos/commit/{found.commit}" in done.out
    card = found.files["README.md"].decode()
    assert "test images (95 %:" in card or "validation images (95 %:" in card
    assert 'license: "cc-by-4.0"' in card
    assert TOKEN not in done.out + done.err
    image = picture_of(trained_once[1])
    here = run("predict", trained, image, "--json")
    there = run("predict", "hub:me/photos", image, "--json")
    assert there.code == 0, there.err
    assert there.out == here.out


def test_the_figures_of_the_card_are_those_of_evaluate(run, signed, trained, trained_once):
    shown = run("push", trained, "me/photos", "--dry-run", "--quiet")
    assert shown.code == 0, shown.err
    split = "test" if " test images" in shown.out else "val"
    measured = json.loads(run("evaluate", trained, trained_once[1], "--split", split, "--json", "--quiet").out)
    assert f"**{100 * measured['accuracy']:.2f} %** of {measured['images']} " in shown.out
    assert not signed.asked


def test_without_its_images_the_card_says_that_nothing_is_known(run, signed, trained):
    config = json.loads((trained / "config.json").read_text())
    (trained / "config.json").write_text(json.dumps({**config, "data": str(trained / "nowhere")}))
    done = run("push", trained, "me/photos")
    assert done.code == 0
    assert "the model card has no accuracy" in done.err
    assert "Not known" in signed.repositories["me/photos"].files["README.md"].decode()
    refused = run("push", trained, "me/photos", "--data", trained / "nowhere")
    assert refused.code == 2


def test_json_names_what_was_sent(run, signed, trained):
    done = run("push", trained, "me/photos", "--json", "--quiet")
    said = json.loads(done.out)
    assert said["repository"] == "me/photos"
    assert set(said["files"]) == {"README.md", "config.json", "model.safetensors"}
    assert b"learnt_from" not in signed.repositories["me/photos"].files["model.safetensors"]
    assert load_network(trained / "model.safetensors", Network).learnt_from is not None


def test_info_says_where_a_model_is_from(run, signed, trained):
    run("push", trained, "me/photos", "--license", "mit", "--quiet")
    done = run("info", "hub:me/photos")
    assert done.code == 0, done.err
    assert f"began from   me/photos@{signed.repositories['me/photos'].commit}, sha256 " in done.out
    assert "licence      mit" in done.out


def test_evaluate_takes_a_model_on_a_hub(run, signed, trained, trained_once):
    run("push", trained, "me/photos", "--quiet")
    here = json.loads(run("evaluate", trained, trained_once[1], "--split", "all", "--json", "--quiet").out)
    there = json.loads(run("evaluate", "hub:me/photos", trained_once[1], "--split", "all", "--json", "--quiet").out)
    assert there["accuracy"] == here["accuracy"]


def test_classes_without_names_are_told(run, hub, trained_once):
    put_timm(hub)
    done = run("predict", "hub:timm/mobilenetv1_100.test", picture_of(trained_once[1]))
    assert done.code == 0, done.err
    assert "does not say what its classes are called: they are numbers from 0 on" in done.err
    assert done.out.split()[1] in ("0", "1", "2")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("predict", "hub:me/nothing", "a.jpg"), "has no model me/nothing"),
        (("predict", "hub:nothing", "a.jpg"), "is called owner/name"),
        (("info", "hub:me/nothing"), "has no model me/nothing"),
        (("report", "hub:me/nothing"), "is about a run folder"),
        (("push", "nowhere", "me/x"), "there is no model nowhere"),
        (("predict", "me/dark", "a.jpg"), "if a model on a hub is meant: hub:me/dark"),
        (("calibrate", "hub:me/nothing", "photos"), "lies on a hub, where nothing is written"),
        (("export", "hub:me/nothing", "--to", "onnx"), "say where with --output"),
    ],
)
def test_mistakes_are_told_without_a_traceback(run, hub, page, words, said):
    done = run(*words)
    assert done.code in (1, 2)
    assert said in done.err


def test_a_name_that_is_none_is_refused_before_anything_is_measured(run, hub, trained):
    done = run("push", trained, "photos")
    assert done.code == 2
    assert "a model on a hub is called owner/name" in done.err


def test_without_a_token_it_says_what_to_set(run, hub, trained):
    done = run("push", trained, "me/photos", "--quiet")
    assert done.code == 1
    assert "set HF_TOKEN" in done.err


def test_a_config_from_a_hub_does_not_say_which_images_are_read_here(run, signed, trained, trained_once, monkeypatch):
    run("push", trained, "me/photos", "--quiet")
    found = signed.repositories["me/photos"]
    config = {**json.loads(found.files["config.json"]), "data": str(trained_once[1])}
    found.files["config.json"] = json.dumps(config).encode()
    monkeypatch.setattr("neocog.app.cli.datasets.open_source", lambda location: pytest.fail(f"{location} was read"))
    done = run("push", "hub:me/photos", "me/again", "--dry-run")
    assert done.code == 0, done.err
    assert "Not known" in done.out
    session = open_session(Path("hub:me/photos"), None, None, "reference", None, quiet=True)
    assert session.run is None
    assert session.gallery is None


def test_where_a_model_began_stays_with_it_from_hub_to_hub(run, signed, tmp_path, photos):
    put_timm(signed)
    words = (
        "--pretrained",
        "timm/mobilenetv1_100.test",
        "--head-only",
        "--epochs",
        "2",
        "--engine",
        "reference",
        "--quiet",
    )
    done = run("train", photos, *words, "-o", tmp_path / "run")
    assert done.code == 0, done.err
    commit = signed.repositories["timm/mobilenetv1_100.test"].commit
    trained = load_network(tmp_path / "run" / "model.safetensors", Network)
    assert trained.origin is not None
    assert trained.origin.source == f"timm/mobilenetv1_100.test@{commit}"
    assert run("push", tmp_path / "run", "me/photos", "--quiet").code == 0
    card = signed.repositories["me/photos"].files["README.md"].decode()
    assert 'license: "apache-2.0"' in card
    assert 'base_model: "timm/mobilenetv1_100.test"' in card
    shown = run("info", "hub:me/photos")
    assert f"it began with timm/mobilenetv1_100.test@{commit}, licence apache-2.0" in shown.out
