import errno
import io
import os
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from neocog.data import walk as walking
from neocog.data.decode import decode_image
from neocog.data.endings import IMAGE_EXTENSIONS
from neocog.data.folder import read_image_folder
from neocog.data.resize import ImageSize
from neocog.data.sources import read_source
from neocog.data.walk import LeftOut, Walk, format_of, listed
from neocog.errors import DataError
from unprivileged import shared_folder, unprivileged

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
AVIF = b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf"


def picture(form: str, mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).convert(mode).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize("ending", IMAGE_EXTENSIONS)
def test_what_has_the_ending_of_an_image_is_one_and_is_not_opened(tmp_path, monkeypatch, ending):
    (tmp_path / f"a{ending}").write_bytes(b"")
    (tmp_path / f"b{ending.upper()}").write_bytes(b"")
    monkeypatch.setattr(walking, "open_file", None)  # a call would fail
    assert Walk(tmp_path).images() == [f"a{ending}", f"b{ending.upper()}"]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP", "PPM"])
@pytest.mark.parametrize("name", ["image", "image.jpg.1", "image.jpg_large", "image.dat", "IMAGE 7"])
def test_first_bytes_tell_images_of_unusual_names(tmp_path, form, name):
    (tmp_path / name).write_bytes(picture(form))
    left_out = LeftOut()
    assert Walk(tmp_path).images("", left_out) == [name]
    assert left_out == LeftOut()
    assert decode_image(tmp_path / name, ImageSize(8, 8, 3)).shape == (8, 8, 3)  # what is found can be read


def test_a_jpeg_that_is_called_heic_is_an_image(tmp_path):
    (tmp_path / "image.heic").write_bytes(picture("JPEG"))
    assert Walk(tmp_path).images() == ["image.heic"]


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.heic", HEIC, "HEIC"),
        ("a.HIF", HEIC, "HEIC"),
        ("a", HEIC, "HEIC"),
        ("a.avif", AVIF, "AVIF"),
        ("a.bin", AVIF, "AVIF"),
        ("a.heic", b"", "HEIC"),
        ("a.nef", b"II*\0" + bytes(40), "camera raw"),
        ("a.svg", b"<svg/>", "SVG"),
        ("a.jxl", b"\xff\x0a" + bytes(40), "JPEG XL"),
    ],
)
def test_pictures_in_formats_that_are_not_read_are_counted_and_named(tmp_path, name, content, kind):
    (tmp_path / name).write_bytes(content)
    left_out = LeftOut()
    assert Walk(tmp_path).images("", left_out) == []
    assert left_out.pictures == [(name, kind)]
    note = f"1 picture left out, in formats that are not read ({kind} 1): {name}; convert them, such as to JPEG"
    assert left_out.notes() == [note]
    assert left_out.lost


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes", b"P3 is what it says"),
        ("notes", b"P6\nof all people"),
        ("bmw", b"BMW is a maker of cars, and of motorcycles too"),
        ("empty", b""),
        ("movie", b"\0\0\0\x20ftypisom\0\0\2\0isomiso2"),
        ("picture.txt", picture("PNG")),  # its ending is believed
        ("a.jpg~", picture("JPEG")),  # a backup copy of an editor
        ("a.jpg.part", picture("JPEG")),  # half of a download
    ],
)
def test_what_is_no_image_is_told_apart(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    left_out = LeftOut()
    assert Walk(tmp_path).images("", left_out) == []
    assert left_out.notes() == [f"{name} ignored: no image file"]
    assert not left_out.lost


def test_what_systems_leave_behind_is_passed_over(tmp_path, save_image):
    for path in ("__MACOSX/1.png", "@eaDir/1.png", ".git/1.png", "._000.png", ".DS_Store.png", "a/1.png"):
        save_image(path)
    for name in ("Thumbs.db", "desktop.ini"):
        (tmp_path / name).write_bytes(b"\xd0\xcf")
    left_out = LeftOut()
    assert Walk(tmp_path).images("", left_out) == ["a/1.png"]
    assert left_out == LeftOut()


def test_only_unusual_names_are_opened_and_hardly_read(tmp_path, monkeypatch):
    for name in ("a.png", "b.txt", "c.json", "d.npz", "e.mp4"):
        (tmp_path / name).write_bytes(b"x")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(1 << 40)  # a terabyte of nothing
    opened = []
    original = walking.open_file
    monkeypatch.setattr(walking, "open_file", lambda path: opened.append(Path(path).name) or original(path))
    assert Walk(tmp_path).images() == ["a.png"]
    assert opened == ["huge"]


def test_what_is_no_regular_file_is_named_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    (tmp_path / "gone").symlink_to(tmp_path / "nowhere")
    left_out = LeftOut()
    assert Walk(tmp_path).images("", left_out) == []
    assert [name for name, _ in left_out.unreadable] == ["gone", "pipe", "zero"]
    assert left_out.unreadable[1][1] == "it is a fifo, not a file"
    assert left_out.notes() == ["gone, pipe, zero ignored: cannot be read (No such file or directory)"]


def test_links_are_followed_and_circles_end(tmp_path, save_image):
    save_image("real/1.png")
    save_image("root/a/2.png")
    (tmp_path / "root/a/linked").symlink_to(tmp_path / "real")
    for number in range(12):  # each a way back up: without memory there were 12^n ways down
        (tmp_path / f"root/a/again{number}").symlink_to(tmp_path / "root/a")
        (tmp_path / f"root/up{number}").symlink_to(tmp_path / "root")
    walk = Walk(tmp_path / "root")
    assert walk.images("a") == ["a/2.png", "a/linked/1.png"]
    assert walk.folders() == ["a"]
    assert walk.folders("a") == ["a/linked"]


def test_a_class_that_is_a_link_to_another_keeps_its_images(tmp_path, save_image):
    save_image("a/1.png")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert read_image_folder(tmp_path).unsplit.identifiers == ["a/1.png", "b/1.png"]


def test_a_folder_is_found_by_each_way_that_leads_to_it(tmp_path, save_image):
    save_image("a/1.png")
    save_image("a/deep/2.png")
    (tmp_path / "b").symlink_to("a")
    left_out = LeftOut()
    walk = Walk(tmp_path)
    assert walk.images("", left_out) == ["a/1.png", "a/deep/2.png", "b/1.png", "b/deep/2.png"]
    assert left_out == LeftOut()
    assert sorted(folder for folder, _ in walk.below()) == ["", "a", "a/deep", "b", "b/deep"]
    assert walk.folders() == ["a", "b"]


def test_links_that_multiply_end_and_that_is_told(tmp_path, save_image):
    save_image("13/1.png")
    for number in range(13):  # 2^13 ways to the last
        (tmp_path / f"{number:02}").mkdir()
        for name in "ab":
            (tmp_path / f"{number:02}" / name).symlink_to(tmp_path / f"{number + 1:02}")
    left_out = LeftOut()
    walk = Walk(tmp_path / "00")
    images = walk.images("", left_out)
    assert len(images) == walking.MOST_WAYS == 100
    assert images[0] == "a/a/a/a/a/a/a/a/a/a/a/a/a/1.png"
    assert left_out.lost
    assert not left_out.closed
    (note,) = left_out.notes()
    assert note.startswith(
        f"{len(left_out.linked):,} folders not looked into (links lead there by more than 100 ways): "
    )
    assert all(walk.path(folder).is_dir() for folder in left_out.linked)


def test_links_in_circles_are_passed_over_with_a_note(tmp_path, save_image):
    for path in ("a/1.png", "b/2.png"):
        save_image(path)
    for link, target in (("a/self", "self"), ("a/x.png", "x.png"), ("ping", "pong"), ("pong", "ping"), ("a/up", "..")):
        (tmp_path / link).symlink_to(target)
    left_out = LeftOut()
    assert Walk(tmp_path).images("", left_out) == ["a/1.png", "b/2.png"]
    assert left_out.circles == ["ping", "pong", "a/self", "a/up", "a/x.png"]
    assert left_out.notes() == ["a/self, a/up, a/x.png and 2 more ignored: a link that leads in a circle"]
    assert not left_out.lost
    source = read_image_folder(tmp_path)
    assert source.unsplit.identifiers == ["a/1.png", "b/2.png"]
    assert source.notes == ("a/self, a/up, a/x.png and 2 more ignored: a link that leads in a circle",)


def test_more_links_than_the_system_follows_are_no_circle_but_told(tmp_path, save_image):
    save_image("chain/50/1.png")
    for number in range(50):
        (tmp_path / f"chain/{number}").mkdir()
        (tmp_path / f"chain/{number}/n").symlink_to(tmp_path / f"chain/{number + 1}")
    left_out = LeftOut()
    assert Walk(tmp_path / "chain/0").images("", left_out) == []
    assert left_out.closed == [("/".join("n" * 41), os.strerror(errno.ELOOP))]
    assert left_out.lost


def test_names_are_counted_and_safe_to_show(tmp_path):
    for number in range(5):
        (tmp_path / f"{number}\x1b[2J\n.txt").write_bytes(b"")
    left_out = LeftOut()
    Walk(tmp_path).images("", left_out)
    shown = ", ".join(f"{number}\\x1b[2J\\n.txt" for number in range(3))
    assert left_out.notes() == [f"{shown} and 2 more ignored: no image file"]
    assert listed([]) == "nothing"


def test_a_merged_walk_names_its_folder():
    left_out, inner = LeftOut(), LeftOut()
    inner.pictures.append(("x.heic", "HEIC"))
    inner.closed.append(("deep", "Permission denied"))
    inner.closed.append((".", "Permission denied"))
    inner.circles.append("up")
    inner.linked.append("far")
    left_out.merge(inner, "a")
    assert left_out.pictures == [("a/x.heic", "HEIC")]
    assert (left_out.circles, left_out.linked) == (["a/up"], ["a/far"])
    assert left_out.notes()[0] == "2 folders not looked into (Permission denied): a, a/deep"


def test_a_path_that_grows_too_long_is_told(tmp_path, save_image):
    save_image("a/1.png")
    name = "d" * 200
    handle = os.open(tmp_path / "a", os.O_RDONLY)
    for _ in range(25):  # 5,000 characters, which no single call may name
        os.mkdir(name, dir_fd=handle)
        inner = os.open(name, os.O_RDONLY, dir_fd=handle)
        os.close(handle)
        handle = inner
    os.close(handle)
    with pytest.raises(DataError, match="1 folder cannot be read") as caught:
        read_image_folder(tmp_path)
    assert "File name too long" in caught.value.details[0]


@pytest.mark.parametrize("form", ["JPEG", "PNG", "GIF", "BMP", "TIFF", "WEBP"])
def test_formats_are_told_by_their_first_bytes(form):
    assert format_of(picture(form)[:32]) == form


def test_both_orders_of_bytes_of_tiff_are_known():
    assert [format_of(order + struct.pack("8x")) for order in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")] == ["TIFF"] * 4


# -- folders that may not be entered ----------------------------------------------------------------------------------


def told_of(data):
    """Return what is read at a location: the number of images and the notes."""
    source = read_source(data)
    return f"{len(source.unsplit or source.train)} {' '.join(source.notes)}"


def write(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (4, 4)).save(path)


@pytest.mark.parametrize("closed", ["b", "a/deep", ".", "*"])
def test_a_folder_that_may_not_be_entered_is_an_error_of_its_own(closed):
    with shared_folder() as folder:
        data = folder / "data"
        for path in ("a/1.png", "a/deep/2.png", "b/3.png"):
            write(data / path)
        for place in [data / "a", data / "b"] if closed == "*" else [data / closed]:
            place.chmod(0)
        told = unprivileged(lambda: told_of(data))
    assert "metadata" not in told
    if closed == ".":
        assert told == f"DataError: {data}: the folder cannot be read: Permission denied"
    else:
        count = "2 folders" if closed == "*" else "1 folder"
        assert told.startswith(f"DataError: {data}: {count} cannot be read")
        for name in "ab" if closed == "*" else [closed]:
            assert f"\n  {data}/{name}: Permission denied" in told
        assert "hint: make it readable with: chmod -R u+rX" in told


def test_a_closed_folder_beside_parts_and_lost_and_found_are_no_error():
    with shared_folder() as folder:
        for path in ("train/a/1.png", "train/b/1.png", "private/x/1.png", "lost+found/1.png"):
            write(folder / "data" / path)
        (folder / "data/private").chmod(0)
        (folder / "data/lost+found").chmod(0)
        assert unprivileged(lambda: told_of(folder / "data")) == "2 private ignored: outside train"


def test_images_come_one_by_one_in_the_order_of_their_paths(tmp_path):
    names = ("b.png", "a/2.png", "a/1.png", "a.png", "a-b/3.png", "a/x/4.png", "a/x.png", "é/5.png", "a/run/6.png")
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "a/run/model.safetensors").write_bytes(b"")
    (tmp_path / "a/notes.txt").write_text("")
    (tmp_path / "a/x/up").symlink_to(tmp_path)
    (tmp_path / "linked").symlink_to("a")
    at_once, one_by_one = LeftOut(), LeftOut()
    want = sorted(map(Path, Walk(tmp_path).images("", at_once)))
    walk = Walk(tmp_path)
    found = list(map(Path, walk.in_order(one_by_one)))
    assert found == want
    assert [path.as_posix() for path in found][:5] == ["a/1.png", "a/2.png", "a/x/4.png", "a/x.png", "a-b/3.png"]
    assert sorted(one_by_one.notes()) == sorted(at_once.notes())
    assert not walk._entries  # nothing is kept of folders that are done
