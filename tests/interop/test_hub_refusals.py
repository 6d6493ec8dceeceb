"""What a hub, the network or the disk say no with: a sentence and a hint each, and never a token."""

from __future__ import annotations

import errno

import pytest

from hub_models import put_pushed
from hub_server import TOKEN
from neocog.errors import NeocogError, SettingError
from neocog.interop.hub.load import from_hub
from neocog.interop.hub.repository import Repository


def refused(name: str) -> str:
    with pytest.raises(NeocogError) as error:
        from_hub(name)
    return str(error.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("resnet18.a1_in1k", "write OWNER/resnet18.a1_in1k"),
        ("", "owner/name"),
        ("a/b/c", "owner/name"),
        ("../../etc/passwd", "owner/name"),
        ("a/..", "owner/name"),
        ("a/b--c", "owner/name"),
        ("a/b@", "behind @ must stand"),
        ("a/b@x y", "behind @ must stand"),
        ("a/\x1b[2J", "owner/name"),
        (7, "must be a text"),
    ],
)
def test_a_name_that_is_none_is_refused_before_anybody_is_asked(text, said):
    with pytest.raises(SettingError) as error:
        Repository.parse(text)
    assert said in str(error.value)
    assert "\x1b" not in str(error.value)


def test_a_slip_of_a_name_gets_the_name_that_was_meant(hub):
    put_pushed(hub, "timm/resnet18.a1_in1k")
    put_pushed(hub, "timm/resnet50.a1_in1k")
    said = refused("timm/resnet18.a1_in1")
    assert "has no model timm/resnet18.a1_in1\n" in said
    assert "did you mean timm/resnet18.a1_in1k?" in said
    assert "if it is private, set HF_TOKEN" in said


def test_another_owner_is_found_too(hub):
    put_pushed(hub, "timm/resnet18.a1_in1k")
    assert "did you mean timm/resnet18.a1_in1k?" in refused("tim/resnet18.a1_in1k")


def test_what_is_private_is_not_told_from_what_is_not_there(hub, monkeypatch):
    put_pushed(hub, private=True)
    assert "if it is private, set HF_TOKEN to a token" in refused("me/dark-or-bright")
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    said = refused("me/dark-or-bright")
    assert "the hub answers 401: Invalid credentials" in said
    assert "HF_TOKEN must be a valid token" in said
    assert "hf_wrong" not in said


def test_what_is_gated_says_where_to_ask(hub):
    put_pushed(hub, gated=True)
    said = refused("me/dark-or-bright")
    assert "is gated: its owner says who may have it" in said
    assert f"{hub.address}/me/dark-or-bright" in said


@pytest.mark.parametrize(
    ("status", "hint"), [(403, "must be allowed"), (429, "wait a while"), (500, "try again later")]
)
def test_other_answers_say_what_to_do(hub, status, hint):
    put_pushed(hub)
    hub.status = status
    said = refused("me/dark-or-bright")
    assert f"me/dark-or-bright cannot be fetched: the hub answers {status}" in said
    assert hint in said


def test_without_a_network_it_says_so_at_once(hub, monkeypatch):
    for name, value in (
        ("ENDPOINT", "http://127.0.0.1:9"),
        ("HUGGINGFACE_CO_URL_TEMPLATE", "http://127.0.0.1:9/{repo_id}/resolve/{revision}/{filename}"),
    ):
        monkeypatch.setattr(f"huggingface_hub.constants.{name}", value)
    monkeypatch.setattr("time.sleep", lambda seconds: pytest.fail("it waited"))
    said = refused("me/dark-or-bright")
    assert "the hub at http://127.0.0.1:9 does not answer" in said
    assert "check the network and HF_ENDPOINT" in said


def test_an_endpoint_that_is_no_hub_is_told(hub, monkeypatch):
    """A server that answers, as one behind a hotel's sign-in page does, and is no hub."""
    monkeypatch.setattr(
        "huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE",
        hub.address + "/sign-in/{repo_id}/{revision}/{filename}",
    )
    said = refused("me/dark-or-bright")
    assert "me/dark-or-bright cannot be fetched" in said or "has no model" in said


def test_a_repository_without_a_config_says_what_it_holds(hub):
    hub.add("me/other", {"README.md": b"# nothing", "weights.bin": b"0"})
    said = refused("me/other")
    assert "me/other holds no config.json" in said
    assert "it holds README.md, weights.bin" in said


def test_a_repository_without_weights_says_so(hub):
    put_pushed(hub)
    del hub.repositories["me/dark-or-bright"].files["model.safetensors"]
    assert "me/dark-or-bright holds no model.safetensors" in refused("me/dark-or-bright")


def test_a_config_that_is_no_json_is_refused(hub):
    hub.add("me/other", {"config.json": b"{", "model.safetensors": b"0"})
    assert "me/other: config.json is not valid JSON" in refused("me/other")


def test_a_full_disk_is_told_with_the_cache(hub, cache, monkeypatch):
    put_pushed(hub)

    def full(*arguments: object, **settings: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("huggingface_hub.file_download.http_get", full)
    said = refused("me/dark-or-bright")
    assert f"{cache}: the disk is full" in said
    assert "HF_HUB_CACHE" in said


def test_a_cache_that_cannot_be_written_is_told(hub, tmp_path, monkeypatch):
    put_pushed(hub)
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "file"))
    said = refused("me/dark-or-bright")
    assert "me/dark-or-bright cannot be fetched" in said
    assert "set HF_HUB_CACHE" in said


def test_a_download_that_never_ends_well_is_given_up(hub, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    put_pushed(hub)
    hub.breaks = [1 << 30, *[0] * 20]
    said = refused("me/dark-or-bright")
    assert "does not answer" in said


@pytest.mark.parametrize("token", ["hf_bad\nsecond", "hf_ümlaut", TOKEN])
def test_no_message_holds_the_token(hub, monkeypatch, token, capfd):
    monkeypatch.setenv("HF_TOKEN", token)
    said = refused("me/nothing")
    err = capfd.readouterr().err
    for word in (token, *token.split("\n")[1:]):
        assert word not in said + err
