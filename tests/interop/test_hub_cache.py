"""The cache between a hub and neocog: what is fetched, kept, checked, and said."""

from __future__ import annotations

import pytest

from hub_models import assert_same, put_pushed
from neocog.errors import FormatError, NeocogError, NeocogWarning
from neocog.interop.hub.load import from_hub


def test_a_second_time_nothing_is_fetched(hub):
    put_pushed(hub)
    from_hub("me/dark-or-bright")
    hub.asked.clear()
    from_hub("me/dark-or-bright")
    assert not hub.paths("GET") + hub.paths("GET", "store")
    assert hub.paths("HEAD")


def test_offline_the_cache_is_enough_and_nobody_is_asked(hub, monkeypatch):
    sent = put_pushed(hub)
    online = from_hub("me/dark-or-bright")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    hub.asked.clear()
    model = from_hub("me/dark-or-bright")
    assert_same(model, sent)
    assert model.origin == online.origin
    assert not hub.asked


def test_offline_what_is_not_in_the_cache_is_told_with_its_place(hub, cache, monkeypatch):
    put_pushed(hub)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(NeocogError) as refused:
        from_hub("me/dark-or-bright")
    assert "not in the cache, and HF_HUB_OFFLINE is set" in str(refused.value)
    assert str(cache) in str(refused.value)
    assert not hub.asked


def test_where_the_hub_is_away_the_cache_is_used_and_that_is_told(hub):
    sent = put_pushed(hub)
    from_hub("me/dark-or-bright")
    hub.status = 503
    with pytest.warns(NeocogWarning, match="the hub answers 503; the copy in the cache is used"):
        model = from_hub("me/dark-or-bright")
    assert_same(model, sent)


def test_a_download_that_breaks_off_goes_on_where_it_stopped(hub, monkeypatch):
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 500)  # bytes; it writes so many at once
    sent = put_pushed(hub)
    hub.breaks = [1 << 30, 1000, 2000]  # config.json comes whole, the weights in three parts
    model = from_hub("me/dark-or-bright")
    assert_same(model, sent)
    ranges = [asked.headers.get("range") for asked in hub.asked if asked.server == "store"]
    assert ranges == [None, "bytes=1000-", "bytes=3000-"]


def test_damaged_weights_are_refused_and_leave_the_cache(hub, cache):
    sent = put_pushed(hub)
    from_hub("me/dark-or-bright")
    [blob] = [path for path in cache.rglob("blobs/*") if len(path.name) == 64]
    blob.chmod(0o644)
    content = bytearray(blob.read_bytes())
    content[-1] ^= 1
    blob.write_bytes(content)
    with pytest.raises(FormatError, match=r"model.safetensors is damaged") as refused:
        from_hub("me/dark-or-bright")
    assert "try again to fetch it anew" in str(refused.value)
    assert not blob.exists()
    assert_same(from_hub("me/dark-or-bright"), sent)


def test_what_lies_outside_the_cache_is_left_where_it_is(hub, cache, tmp_path):
    """Somebody may have put a link in place of a file."""
    put_pushed(hub)
    from_hub("me/dark-or-bright")
    [blob] = [path for path in cache.rglob("blobs/*") if len(path.name) == 64]
    blob.unlink()
    (tmp_path / "mine").write_bytes(b"mine")
    blob.symlink_to(tmp_path / "mine")
    with pytest.raises(FormatError, match=r"model.safetensors is damaged"):
        from_hub("me/dark-or-bright")
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert not blob.is_symlink()


def test_small_files_are_checked_too(hub, cache):
    put_pushed(hub)
    from_hub("me/dark-or-bright")
    config = next(cache.rglob("snapshots/*/config.json"))
    blob = config.resolve()
    blob.write_bytes(blob.read_bytes().replace(b'"me', b'"ne') + b" ")
    with pytest.raises(FormatError, match=r"config.json is damaged"):
        from_hub("me/dark-or-bright")
