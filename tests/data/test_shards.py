"""Which files are the shards of a data set, and of which part."""

from __future__ import annotations

from pathlib import Path

import pytest

from neocog.app.cli.datasets import is_there
from neocog.data.shards import expand, find_shards, in_parts, is_pattern, root_of
from neocog.data.sources import read_source
from neocog.errors import DataError
from shard_files import picture, write_tar


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("a-{000009..000011}.tar", ["a-000009.tar", "a-000010.tar", "a-000011.tar"]),
        ("{9..11}", ["9", "10", "11"]),
        ("{2..0}", ["2", "1", "0"]),
        ("{train,val}-{0..1}.tar", ["train-0.tar", "train-1.tar", "val-0.tar", "val-1.tar"]),
        ("a.tar", ["a.tar"]),
    ],
)
def test_a_pattern_stands_for_names_as_in_a_shell(pattern: str, names: list[str]) -> None:
    assert expand(pattern) == names
    braceexpand = pytest.importorskip("braceexpand")
    assert list(braceexpand.braceexpand(pattern)) == names


@pytest.mark.parametrize(
    "pattern", ["{0..99999999999}.tar", "{0..999}{0..999}.tar", "{a}.tar", "{1...3}.tar", "{}.tar"]
)
def test_patterns_that_are_none_or_stand_for_too_many_are_refused(pattern: str) -> None:
    with pytest.raises(DataError, match=r"may stand for 100,000 files|braces need numbers or words"):
        expand(pattern)


def test_shards_of_a_pattern_that_are_missing_are_named(tmp_path: Path) -> None:
    touch(tmp_path, "a-0.tar", "a-2.tar", "{0..1}.tar")
    with pytest.raises(DataError, match=r"1 of 3 files are missing: .*a-1\.tar"):
        find_shards(tmp_path / "a-{0..2}.tar", ".tar")
    assert not is_pattern(tmp_path / "{0..1}.tar")  # there is a file of that name
    assert not is_pattern(tmp_path / "{0..1}.jpg")


@pytest.mark.parametrize(
    ("names", "parts"),
    [
        ("b a", {"unsplit": "a b"}),
        ("train-0 val-0 test-0", {"train": "train-0", "validation": "val-0", "test": "test-0"}),
        ("photos-000 val-000", {"train": "photos-000", "validation": "val-000"}),
        ("train/000 test/000", {"train": "train/000", "test": "test/000"}),
        ("net-train-0 net-validation-0", {"train": "net-train-0", "validation": "net-validation-0"}),
        ("data/train-00000-of-00002 data/test-0", {"train": "data/train-00000-of-00002", "test": "data/test-0"}),
    ],
)
def test_names_and_folders_tell_the_part(tmp_path: Path, names: str, parts: dict[str, str]) -> None:
    folder = touch(tmp_path, *(f"{name}.tar" for name in names.split()), "README.md", ".hidden.tar")
    found = find_shards(folder, ".tar")
    told = {part: " ".join(str(path.relative_to(folder))[:-4] for path in paths) for part, paths in found.items()}
    assert told == parts


def test_a_pattern_may_be_longer_than_a_name(tmp_path: Path) -> None:
    names = [f"{letter * 30}" for letter in "abcdefghij"]
    pattern = tmp_path / f"{{{','.join(names)}}}.tar"
    assert is_pattern(pattern)
    assert is_there(str(pattern))
    for name in names:
        write_tar(
            tmp_path / f"{name}.tar", [("1.png", picture(1)), ("1.cls", b"0"), ("2.png", picture(2)), ("2.cls", b"1")]
        )
    found = read_source(pattern).unsplit
    assert found is not None
    assert len(found) == 20


def test_absolute_and_relative_names_have_a_folder_in_common(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(touch(tmp_path, "a-0.tar", "b-0.tar"))
    shards = find_shards(f"{{{tmp_path}/a,b}}-0.tar", ".tar")
    assert shards == {"unsplit": [tmp_path / "a-0.tar", tmp_path / "b-0.tar"]}
    assert root_of(shards) == tmp_path


def test_the_root_is_the_folder_above_all() -> None:
    paths = [Path("/a/b/train/1.tar"), Path("/a/b/val/1.tar")]
    assert root_of(in_parts(paths, Path("/a/b"))) == Path("/a/b")
