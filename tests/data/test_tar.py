"""Images in tar archives of WebDataset's layout."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neocog.data.archive import TarMember
from neocog.data.batches import Batches
from neocog.data.files import FileDataset
from neocog.data.resize import ImageSize
from neocog.data.sources import open_data, read_source
from neocog.data.tar import samples
from neocog.errors import DataError, FormatError
from neocog.nn.share import Share
from neocog.nn.slicing import Slicing
from shard_files import picture, write_tar

SIZE = ImageSize(6, 6, 3)


def files_of(numbers: range, label: str = "cls") -> list[tuple[str, bytes]]:
    """Return images and their labels, which are 0, 1, 2, 0, …"""
    return [
        file
        for number in numbers
        for file in ((f"{number:04d}.png", picture(number)), (f"{number:04d}.{label}", b"%d" % (number % 3)))
    ]


@pytest.fixture
def shards(tmp_path: Path) -> Path:
    """A folder of three archives for training, and one for validation."""
    for number in range(3):
        write_tar(tmp_path / f"shards/train-{number:06d}.tar", files_of(range(20 * number, 20 * number + 20)))
    write_tar(tmp_path / "shards/val-000000.tar", files_of(range(60, 66)))
    return tmp_path / "shards"


def test_webdataset_itself_writes_what_is_read(tmp_path: Path) -> None:
    webdataset = pytest.importorskip("webdataset")
    pixels = np.random.default_rng(0).integers(0, 256, (12, 8, 8, 3), np.uint8)
    with webdataset.ShardWriter(str(tmp_path / "photos-%06d.tar"), maxcount=5, verbose=0) as writer:
        for number, image in enumerate(pixels):
            label = {"cls": number % 2} if number < 4 else {"json": {"label": number % 2}}
            writer.write({"__key__": f"folder/{number:06d}", "png": Image.fromarray(image), **label})
    source = read_source(str(tmp_path / "photos-{000000..000002}.tar"))
    assert source.kind == "tar shards (WebDataset)"
    assert source.name == "photos"
    assert source.unsplit is not None
    assert np.array_equal(source.unsplit.images(), pixels)
    assert source.unsplit.labels.tolist() == [0, 1] * 6
    assert source.unsplit.class_names == ("0", "1")
    assert source.unsplit.identifiers[5] == "photos-000001.tar/folder/000005.png"
    theirs = webdataset.WebDataset(str(tmp_path / "photos-{000000..000002}.tar"), shardshuffle=False)
    keys = [sample["__key__"] for sample in theirs]
    assert [name.partition("/")[2].removesuffix(".png") for name in source.unsplit.identifiers] == keys


def test_parts_go_by_the_names_of_shards_or_else_by_content(shards: Path) -> None:
    source = read_source(shards)
    assert source.train is not None
    assert source.validation is not None
    assert (len(source.train), len(source.validation), source.unsplit) == (60, 6, None)
    assert source.train.class_names == ("0", "1", "2")
    whole = open_data(shards / "train-{000000..000002}.tar")
    assert [len(part) for _, part in whole.items()] == [48, 6, 6]
    assert whole.source == "tar shards (WebDataset); split by content: 10% validation, 10% test, seed 0"


def test_images_are_those_of_the_files_that_were_packed(shards: Path, tmp_path: Path) -> None:
    for number in range(20, 40):
        (tmp_path / f"{number}.png").write_bytes(picture(number))
    plain = FileDataset(tmp_path, [(f"{number}.png", number % 3) for number in range(20, 40)], ["0", "1", "2"])
    packed = read_source(shards / "train-000001.tar").unsplit
    assert packed is not None
    assert np.array_equal(packed.images(None, SIZE), plain.images(None, SIZE))
    assert packed.digests() == plain.digests()
    assert packed.digests_of(np.array([3])) == [plain.digests()[3]]
    assert packed.facts(2) == plain.facts(2)
    assert (packed.native_size, packed.channels) == (plain.native_size, plain.channels)


def test_batches_are_the_same_for_any_number_of_threads_and_processes(shards: Path) -> None:
    def batches(**given):
        train = read_source(shards).train  # anew: nothing is in memory
        return [
            (images.copy(), labels)
            for images, labels in Batches(train, 8, SIZE, shuffle=True, seed=3, epoch=2, **given)
        ]

    alone = batches(workers=0)
    for workers in (1, 3):
        for (x, y), (u, v) in zip(alone, batches(workers=workers), strict=True):
            assert np.array_equal(x, u)
            assert np.array_equal(y, v)
    parts = [batches(workers=1, share=Share(Slicing(4), 8, rank, 2)) for rank in range(2)]
    for place, (x, y) in enumerate(alone[:-1]):
        assert np.array_equal(np.concatenate([part[place][0] for part in parts]), x)
        assert np.array_equal(np.concatenate([part[place][1] for part in parts]), y)


def test_images_that_are_links_are_told(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with tarfile.open(path, "w") as archive:
        for name, content in files_of(range(2)):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("9.png")
        link.type, link.linkname = tarfile.LNKTYPE, "0.png"
        archive.addfile(link)
    notes = read_source(path).notes
    assert notes[-1].startswith("1 images that are links, devices or sparse files ignored: 9.png; tar --hard-deref")


def test_class_names_lie_above_all_archives_or_beside_each(tmp_path: Path) -> None:
    for part in ("train", "val"):
        write_tar(
            tmp_path / part / "0.tar", [("1.png", picture(1)), ("1.cls", b"1"), ("2.png", picture(2)), ("2.cls", b"0")]
        )
        (tmp_path / part / "classes.txt").write_text("cat\ndog\n")
    found = read_source(tmp_path).train
    assert found is not None
    assert (found.class_names, found.labels.tolist()) == (("cat", "dog"), [1, 0])
    (tmp_path / "val/classes.txt").write_text("dog\ncat\n")
    with pytest.raises(DataError, match=r"train and .*val have lists of different classes"):
        read_source(tmp_path)


def test_labels_are_numbers_or_names_in_any_of_three_members(tmp_path: Path) -> None:
    def read(*labels: tuple[str, bytes]):
        files = [
            file
            for number, (ending, content) in enumerate(labels)
            for file in ((f"{number}.png", picture(number)), (f"{number}.{ending}", content))
        ]
        found = read_source(write_tar(tmp_path / "a.tar", files)).unsplit
        return found.class_names, found.labels.tolist()

    assert read(("cls", b"10\n"), ("cls", b"9"), ("cls", b"009")) == (("9", "10"), [1, 0, 0])
    assert read(("txt", b"dog"), ("txt", "ß".encode())) == (("dog", "ß"), [0, 1])
    labels = [json.dumps(value).encode() for value in ({"class": "b"}, "a", {"target": 7, "x": 0})]
    assert read(*[("json", label) for label in labels]) == (("7", "a", "b"), [2, 1, 0])
    (tmp_path / "classes.txt").write_text("cat\ndog\nemu\n")
    assert read(("cls", b"2"), ("cls", b"0")) == (("cat", "dog", "emu"), [2, 0])
    assert read(("txt", b"dog"), ("txt", b"emu")) == (("cat", "dog", "emu"), [1, 2])
    with pytest.raises(DataError, match="the label '3' is none of the 3 classes"):
        read(("cls", b"3"))
    (tmp_path / "classes.txt").write_text("cat\ncat\n")
    with pytest.raises(FormatError, match=r"classes\.txt: needs a different name on each line, got 2 lines"):
        read(("cls", b"0"))


def test_members_are_grouped_as_webdataset_does_it() -> None:
    names = ["./a/1.x.jpg", "a/1.cls", "b/1.JPG", "b/1.mask.png", "folder.d/2.png", ".hidden/3.png", "._4.png", "plain"]
    found = list(samples(TarMember(name, 0, 0) for name in names))
    assert [(sample.key, sorted(sample.members)) for sample in found] == [
        ("a/1", ["cls", "x.jpg"]),
        ("b/1", ["jpg", "mask.png"]),
        ("folder.d/2", ["png"]),
        (".hidden/3", ["png"]),
    ]
    images = [sample.image for sample in found]
    assert [image and image.name for image in images] == ["./a/1.x.jpg", "b/1.JPG", "folder.d/2.png", ".hidden/3.png"]


BAD = {
    "no label": ([("1.png", b"")], "1 has no label, found 1.png"),
    "two images": ([("1.png", b""), ("1.jpg", b""), ("1.cls", b"0")], "a sample has 2 images: 1.png, 1.jpg"),
    "the same twice": ([("1.png", b""), ("1.png", b"")], "two members are called 1.png"),
    "a caption": ([("1.png", b""), ("1.txt", b"words " * 60)], "1.txt: the label has 359 characters"),
    "JSON without": ([("1.png", b""), ("1.json", b'{"x": 1}')], "1.json holds no label: it needs one of label, class"),
    "JSON deep": ([("1.png", b""), ("1.json", b"[" * 100_000)], "1.json holds no label"),
    "JSON of another kind": ([("1.png", b""), ("1.json", b'{"label": [1, 2]}')], "a label is text or a whole number"),
    "no text": ([("1.png", b""), ("1.cls", b"\xff\xfe")], "1.cls holds no label"),
    "a large label": ([("1.png", b""), ("1.cls", b"1" * 2_000_000)], "1.cls holds 2,000,000 bytes"),
    "no images": ([("1.cls", b"0")], "no images in 1 tar archives"),
}


@pytest.mark.parametrize(("files", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_understood_is_refused_by_name(
    tmp_path: Path, files: list[tuple[str, bytes]], message: str
) -> None:
    path = write_tar(tmp_path / "a.tar", files)
    with pytest.raises((DataError, FormatError)) as caught:
        read_source(path)
    assert message in caught.value.message
    assert caught.value.message.startswith(str(path))


def test_images_that_cannot_be_read_are_named_and_skipped(shards: Path) -> None:
    files = [*files_of(range(4)), ("5.png", b"no image"), ("5.cls", b"1"), ("6.png", picture(6)[:60]), ("6.cls", b"1")]
    write_tar(shards / "train-000003.tar", [*files, ("7.cls", b"0")])
    train = read_source(shards).train
    assert train is not None
    assert read_source(shards).notes == ("1 samples without an image ignored: train-000003.tar/7",)
    lost = train.verify(SIZE)
    assert list(lost) == [64, 65]
    assert f"{shards}/train-000003.tar/5.png: not an image in a known format" in lost[64]
    assert sum(len(labels) for _, labels in Batches(train, 8, SIZE, on_error="skip")) == 64


def test_an_archive_that_changes_is_noticed(shards: Path) -> None:
    path = shards / "train-000000.tar"
    train = read_source(path).unsplit
    assert train is not None
    write_tar(path, files_of(range(100, 120)))
    os.utime(path, (1, 1))
    with pytest.raises(DataError, match=r"0000\.png: the file cannot be read: the archive was changed meanwhile"):
        train.images(np.array([0]), SIZE)
    path.unlink()
    with pytest.raises(DataError, match=r"0001\.png: there is no such file"):
        train.images(np.array([1]), SIZE)


def test_an_image_larger_than_files_may_be_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a.tar"
    with path.open("wb") as file:  # a hole of a gigabyte
        member = tarfile.TarInfo("1.png")
        member.size = 1 << 30
        file.write(member.tobuf())
        file.seek(1 << 30, io.SEEK_CUR)
        label = tarfile.TarInfo("1.cls")
        label.size = 1
        file.write(label.tobuf() + b"0".ljust(512, b"\0") + b"\0" * 1024)
    data = read_source(path).unsplit
    assert data is not None
    with pytest.raises(DataError, match=r"1\.png: an image file may hold 536,870,912 bytes, found 1,073,741,824"):
        data.images(np.array([0]), SIZE)


def test_a_folder_of_images_stays_one_though_an_archive_lies_in_it(shards: Path, tmp_path: Path) -> None:
    for number in range(4):
        target = tmp_path / f"photos/{'cat' if number % 2 else 'dog'}/{number}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(picture(number))
    write_tar(tmp_path / "photos/photos.tar", files_of(range(3)))
    assert read_source(tmp_path / "photos").kind == "image folder"


LOOKING = """
import sys
from pathlib import Path
from neocog.data.resize import ImageSize
from neocog.data.sharded import images_in
from neocog.data.sources import read_source
def look(event, given):
    writes = event == "open" and given[2] & 3
    assert not writes and event not in ("os.mkdir", "os.symlink", "os.link", "os.rename"), (event, given)
sys.addaudithook(look)
data = read_source(sys.argv[1]).unsplit
data.images(None, ImageSize(4, 4, 3))
assert [content().read(4) for _, content in images_in(sys.argv[1])] == [b"\\x89PNG"] * 2
print(*data.identifiers, *data.class_names)
"""


def test_nothing_is_unpacked_to_the_disk_wherever_names_lead(tmp_path: Path) -> None:
    files = [("../../up.png", picture(0)), ("../../up.cls", b"0"), ("/etc/1.png", picture(1)), ("/etc/1.cls", b"1")]
    path = write_tar(tmp_path / "evil.tar", files)
    words = [sys.executable, "-c", LOOKING, str(path)]
    done = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
    assert done.stdout == "evil.tar/../../up.png evil.tar//etc/1.png 0 1\n", done.stderr
