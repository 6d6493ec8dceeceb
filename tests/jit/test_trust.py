"""A folder is trusted where nobody but its user and root can have put anything there, or put another in its place."""

from __future__ import annotations

import grp
import os
import pwd
from pathlib import Path
from types import SimpleNamespace

import pytest

from neocog.errors import NeocogWarning
from neocog.jit import trust
from neocog.jit.cache import ObjectCache
from neocog.jit.trust import distrust

pytestmark = pytest.mark.skipif(not hasattr(os, "geteuid"), reason="this system has no owners of this kind")
AS_ROOT = pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root may give folders away")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder two levels down."""
    place = tmp_path / "above" / "folder"
    place.mkdir(parents=True)
    for path in (place, place.parent):
        path.chmod(0o755)
    return place


def test_a_folder_of_this_users_is_trusted(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert distrust(folder) is None
    monkeypatch.chdir(folder.parent)
    assert distrust(Path("folder")) is None
    assert distrust(Path("folder/../folder")) is None


def test_a_folder_that_is_not_there_is_an_error(folder: Path) -> None:
    with pytest.raises(FileNotFoundError):
        distrust(folder / "missing")


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757])
def test_a_folder_that_everybody_may_write_to_is_not(folder: Path, mode: int) -> None:
    folder.chmod(mode)
    assert distrust(folder) == f"{folder} may be written by others"


def test_a_folder_may_be_made_where_each_may_move_what_is_their_own(folder: Path) -> None:
    folder.chmod(0o1777)
    assert distrust(folder, to_be=True) is None
    folder.chmod(0o777)
    assert distrust(folder, to_be=True) == f"{folder} may be written by others"


def test_a_folder_below_one_that_everybody_may_write_to_could_be_replaced(folder: Path) -> None:
    folder.parent.chmod(0o777)
    assert distrust(folder) == f"{folder.parent} may be written by others"
    folder.parent.chmod(0o1777)  # as /tmp: each may move what is their own
    assert distrust(folder) is None


def test_a_link_leads_to_where_it_leads(folder: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("above/folder")
    assert distrust(link) is None
    assert distrust(link / ".." / "folder") is None
    folder.chmod(0o777)
    assert distrust(link) == f"{folder} may be written by others"


def test_a_link_that_others_could_turn_elsewhere_is_not_followed(folder: Path, tmp_path: Path) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    (loose / "link").symlink_to(folder)
    assert distrust(loose / "link") is None
    loose.chmod(0o777)
    assert distrust(loose / "link") == f"{loose} may be written by others"


def test_a_circle_of_links_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "one").symlink_to("two")
    (tmp_path / "two").symlink_to("one")
    with pytest.raises(OSError, match="symbolic links"):
        distrust(tmp_path / "one")


@AS_ROOT
def test_another_users_folder_is_not_trusted(folder: Path) -> None:
    os.chown(folder, 54321, -1)
    assert distrust(folder) == f"{folder} belongs to somebody else"


@AS_ROOT
@pytest.mark.parametrize("mode", [0o700, 0o755, 0o555, 0o1777])
def test_a_folder_below_another_users_could_be_replaced_by_that_user(folder: Path, mode: int) -> None:
    below = folder / "below"
    below.mkdir(mode=0o755)
    folder.parent.chmod(mode)
    os.chown(folder.parent, 54321, -1)  # who may rename what lies in it, and change its mode
    for place in (folder, below):
        assert distrust(place) == f"{folder.parent} belongs to somebody else"


@AS_ROOT
def test_a_link_of_another_user_is_not_followed_even_where_each_may_move_only_their_own(
    folder: Path, tmp_path: Path
) -> None:
    loose = tmp_path / "loose"
    loose.mkdir()
    loose.chmod(0o1777)
    link = loose / "link"
    link.symlink_to(folder)
    assert distrust(link) is None
    os.chown(link, 54321, -1, follow_symlinks=False)
    assert distrust(link) == f"{link} belongs to somebody else"
    link.unlink()
    link.symlink_to(folder.parent)
    os.chown(link, 54321, -1, follow_symlinks=False)
    assert distrust(link / "folder") == f"{link} belongs to somebody else"


@AS_ROOT
def test_a_link_through_another_users_folder_is_not_followed(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(folder.parent / "folder")
    os.chown(folder.parent, 54321, -1)
    assert distrust(tmp_path / "link") == f"{folder.parent} belongs to somebody else"


@AS_ROOT
def test_a_program_that_another_user_put_in_the_place_of_the_cache_is_not_loaded(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o755)
    cache = ObjectCache(home / ".cache" / "neocog")
    cache.store("k", b"mine")
    assert cache.load("k") == b"mine"
    other = tmp_path / "other" / "neocog"
    other.mkdir(parents=True, mode=0o755)
    ObjectCache(other).store("k", b"another program")
    (home / ".cache").rename(home / "aside")
    (home / ".cache").symlink_to(other.parent)
    os.chown(home / ".cache", 54321, -1, follow_symlinks=False)
    os.chown(home, 54321, -1)
    with pytest.warns(NeocogWarning, match="belongs to somebody else"):
        assert cache.load("k") is None


@AS_ROOT
def test_roots_folder_is_trusted_by_everybody(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trust.os, "geteuid", lambda: 54321)
    assert distrust(folder) is None


@AS_ROOT
def test_a_group_of_others_makes_a_folder_open_and_a_group_of_the_users_own_does_not(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder.chmod(0o775)
    assert distrust(folder) is None  # root's group
    os.chown(folder, -1, 54321)
    monkeypatch.setattr(pwd, "getpwuid", lambda _: SimpleNamespace(pw_name="anna"))
    groups = {"alone": ("anna", []), "named": ("anna", ["anna"]), "shared": ("anna", ["bert"]), "staff": ("staff", [])}
    for case, (name, members) in groups.items():
        monkeypatch.setattr(grp, "getgrgid", lambda _, n=name, m=members: SimpleNamespace(gr_name=n, gr_mem=m))
        trust._own_group.cache_clear()
        assert (distrust(folder) is None) == (case in ("alone", "named")), case
    monkeypatch.undo()
    trust._own_group.cache_clear()
    assert distrust(folder) is not None  # a group without a name
