"""`neocog predict`: what it prints for which sources."""

from __future__ import annotations

import csv
import errno
import io
import json
import os
import shutil
from pathlib import Path

import pytest

from app.pictures import write_image, write_photos
from neocog.app.cli.errors import CommandLineError
from neocog.app.cli.sources import Pictures
from neocog.data.decode import decode_image
from neocog.data.resize import ImageSize
from neocog.errors import DataError
from unprivileged import shared_folder, unprivileged


def test_a_line_an_image_with_path_class_and_probability(run, trained_once, images):
    done = run("predict", trained_once[0], images / "b.png", images / "a.png")
    assert done.code == 0, done.err
    rows = [line.split("\t") for line in done.out.splitlines()]
    assert [row[:2] for row in rows] == [[str(images / "b.png"), "bright"], [str(images / "a.png"), "dark"]]
    assert all(0.5 < float(row[2]) <= 1 for row in rows)


def test_a_folder_means_the_images_below_it_sorted(run, trained_once, images):
    done = run("predict", trained_once[0] / "model.safetensors", images)
    names = [Path(line.split("\t")[0]).name for line in done.out.splitlines()]
    assert names == ["a.png", "b.png", "c.PNG"]


HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"


def test_all_images_of_a_folder_are_found_and_what_is_left_out_is_told(run, trained_once, images):
    content = (images / "a.png").read_bytes()
    for name in ("d.jfif", "e.jpe", "f.png.1", "g", "h.pnm"):
        (images / name).write_bytes(content)
    (images / "x.heic").write_bytes(HEIC)
    (images / "deep/y.HEIC").write_bytes(HEIC)
    (images / "notes\x1b.txt").write_text("no image")
    done = run("predict", trained_once[0], images)
    assert done.code == 0
    names = [Path(line.split("\t")[0]).name for line in done.out.splitlines()]
    assert names == ["a.png", "b.png", "d.jfif", "c.PNG", "e.jpe", "f.png.1", "g", "h.pnm"]
    assert [line.split("\t")[1] for line in done.out.splitlines()].count("bright") == 2
    notes = [line for line in done.err.splitlines() if line.startswith("note: ")]
    assert notes == [
        f"note: {images}: 2 pictures left out, in formats that are not read (HEIC 2): deep/y.HEIC, x.heic; "
        "convert them, such as to JPEG",
        f"note: {images}: notes\\x1b.txt ignored: no image file",
    ]
    assert run("predict", trained_once[0], images, "--strict").code == 1
    for name in ("x.heic", "deep/y.HEIC"):
        (images / name).unlink()
    assert run("predict", trained_once[0], images, "--strict").code == 0


def test_a_folder_that_may_not_be_entered_is_told():
    with shared_folder() as folder:
        write_image(folder / "a.png", 40)
        write_image(folder / "closed/b.png", 40)
        (folder / "closed").chmod(0)

        def listing() -> str:
            found = Pictures([str(folder)])
            return f"{[picture.name for picture in found]} {found.notes} {found.lost}"

        told = unprivileged(listing)
        note = f"{folder}: 1 folder not looked into (Permission denied): closed"
        assert told == f"{[f'{folder}/a.png']} {[note]} True"


CLOSED = "1 folder not looked into (Permission denied): "


@pytest.mark.parametrize(
    ("pattern", "names", "note"),
    [
        ("**/*.png", ["a/1.png", "b/2.png"], CLOSED + "a/secret"),
        ("a/**/*.png", ["a/1.png"], CLOSED + "secret"),
        ("*/**/3.png", [], CLOSED + "a/secret"),
        ("a/**/secret/*.png", [], CLOSED + "secret"),
        ("b/**/*.png", ["b/2.png"], None),
        ("b*/**/*.png", ["b/2.png"], None),  # a/secret holds nothing that is asked for
        ("*/*/*.png", [], CLOSED + "a/secret"),
        ("a/*", ["a/1.png"], CLOSED + "secret"),
        ("a/s*/3.png", [], CLOSED + "secret"),
        ("*", ["a/1.png", "b/2.png"], CLOSED + "a/secret"),
        ("*/*.png", ["a/1.png", "b/2.png"], None),
    ],
)
def test_no_pattern_loses_a_folder_that_may_not_be_entered_in_silence(pattern, names, note):
    with shared_folder() as folder:
        for name in ("a/1.png", "a/secret/3.png", "b/2.png"):
            write_image(folder / name, 40)
        (folder / "a/secret").chmod(0)
        source = f"{folder}/{pattern}"

        def listing() -> str:
            try:
                found = Pictures([source])
            except CommandLineError as error:
                return f"{error.message} {error.details} {error.hint}"
            return f"{[picture.name for picture in found]} {found.notes} {found.lost}"

        told = unprivileged(listing)
        if names:
            notes = [f"{source}: {note}"] if note else []
            assert told == f"{[f'{folder}/{name}' for name in names]} {notes} {bool(note)}"
        else:
            assert (
                told
                == f"{source}: no file matches this pattern {(note,)} give yourself the right to read with: chmod u+rX"
            )


def test_a_file_in_a_folder_that_may_not_be_entered_is_told_as_such():
    with shared_folder() as folder:
        write_image(folder / "closed/x.png", 40)
        (folder / "closed").chmod(0)

        def reading() -> str:
            (picture,) = Pictures([f"{folder}/closed/x.png"])
            try:
                decode_image(picture.read(), ImageSize(8, 8, 3), name=picture.name)
            except DataError as error:
                return error.message
            return "read"

        assert unprivileged(reading) == f"{folder}/closed/x.png: the file cannot be read: Permission denied"
        told = unprivileged(lambda: str(Pictures([f"{folder}/closed"])))
        assert told.startswith(f"DataError: {folder}/closed: this folder has no images")
        assert CLOSED + "." in told


@pytest.mark.parametrize("words", [[], ["--json"], ["--strict"]])
def test_predict_names_a_file_that_may_not_be_reached_as_one_that_cannot_be_read(
    run, trained_once, tmp_path, monkeypatch, words
):
    # As a user who is not root sees it, wherever this test runs.
    path = write_image(tmp_path / "closed/x.png", 40)

    def refusing(original):
        def call(place, *arguments, **settings):
            if str(place) == str(path):
                raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
            return original(place, *arguments, **settings)

        return call

    for name in ("stat", "lstat", "open"):
        monkeypatch.setattr(os, name, refusing(getattr(os, name)))
    done = run("predict", trained_once[0], path, *words)
    assert done.code == 1
    assert f"{path}: the file cannot be read: Permission denied" in done.err
    assert "no file" not in done.err


def test_linked_folders_are_found_by_each_name(tmp_path):
    write_image(tmp_path / "a/1.png", 40)
    (tmp_path / "b").symlink_to("a")
    (tmp_path / "loop").symlink_to("loop")
    names = [f"{tmp_path}/a/1.png", f"{tmp_path}/b/1.png"]
    for source in (str(tmp_path), f"{tmp_path}/**/*.png", f"{tmp_path}/*/*.png"):
        found = Pictures([source])
        assert [picture.name for picture in found] == names
        assert found.notes == [f"{source}: loop ignored: a link that leads in a circle"]
        assert not found.lost


def test_what_a_pattern_matches_and_is_no_file_is_told_and_not_dropped(tmp_path):
    write_image(tmp_path / "a.png", 40)
    os.mkfifo(tmp_path / "b.png")
    (tmp_path / "c.png").symlink_to("nowhere.png")
    for pattern in ("*.png", "**/*.png"):
        found = Pictures([f"{tmp_path}/{pattern}"])
        assert [Path(picture.name).name for picture in found] == ["a.png", "b.png", "c.png"]


def test_a_pattern_goes_through_no_run_folder(trained_once, tmp_path):
    write_image(tmp_path / "a/1.png", 40)
    write_image(tmp_path / "run/2.png", 40)
    shutil.copy(trained_once[0] / "model.safetensors", tmp_path / "run")
    found = Pictures([f"{tmp_path}/**/*.png"])
    assert [picture.name for picture in found] == [f"{tmp_path}/a/1.png"]
    assert found.notes == [f"{tmp_path}/**/*.png: run ignored: a run folder with a trained model"]


def test_names_with_brackets_are_taken_as_they_are(run, trained_once, tmp_path, monkeypatch):
    for name in ("set [2024]/x/1.png", "set [2024]/y/2.png", "set 2/x/3.png", "b[1].png", "b1.png"):
        write_image(tmp_path / name, 40)
    monkeypatch.chdir(tmp_path)

    def found(*sources: str) -> list[str]:
        return [picture.name for picture in Pictures(sources)]

    assert found("set [2024]/*/*.png") == ["set [2024]/x/1.png", "set [2024]/y/2.png"]
    assert found("set [2024]/**/2.png") == ["set [2024]/y/2.png"]
    assert found("set [2]/x/*.png") == ["set 2/x/3.png"]  # there is no such folder: it is a pattern
    assert found("b[1].png") == ["b[1].png"]
    assert found("b[0-9].png") == ["b1.png"]
    assert found(f"{tmp_path}/set [2024]/x/?.png") == [f"{tmp_path}/set [2024]/x/1.png"]
    assert found("set [2024]") == ["set [2024]/x/1.png", "set [2024]/y/2.png"]
    done = run("predict", trained_once[0], "set [2024]/z*/*.png")
    assert done.err.startswith("error: set [2024]/z*/*.png: no file matches this pattern")
    assert "hint: check the pattern and the current folder" in done.err
    assert "hint: there is no folder set [2024]/no" in run("predict", trained_once[0], "set [2024]/no/*.png").err


def test_a_folder_that_a_pattern_matches_stands_for_its_images(tmp_path):
    for name in ("x/1.png", "x/deep/2.png", "y.png"):
        write_image(tmp_path / name, 40)
    (tmp_path / "x/z.heic").write_bytes(HEIC)
    found = Pictures([f"{tmp_path}/*"])
    assert [picture.name for picture in found] == [f"{tmp_path}/{n}" for n in ("x/1.png", "x/deep/2.png", "y.png")]
    assert "(HEIC 1): x/z.heic" in found.notes[0]


def test_two_stars_go_down_and_circles_end(tmp_path, monkeypatch):
    for name in ("x/1.png", "x/deep/2.png", "y.png", "x/.hidden/3.png"):
        write_image(tmp_path / name, 40)
    for number in range(12):  # 12^40 ways down for who follows them all
        (tmp_path / f"x/up{number}").symlink_to(tmp_path)
    monkeypatch.chdir(tmp_path)

    def found(source: str) -> list[str]:
        return [picture.name for picture in Pictures([source])]

    assert found("**/*.png") == ["x/1.png", "x/deep/2.png", "y.png"]
    ways = sorted(f"x/up{number}/y.png" for number in range(12))  # each as far as x, where it becomes a circle
    assert found("x/**") == ["x/1.png", "x/deep/2.png", *ways]
    assert found("./**/*.png") == found(".//**/*.png") == found("**/*.png")
    assert found("**/deep/*.png") == ["x/deep/2.png"]
    assert found("x/**/[2-9].png") == ["x/deep/2.png"]
    assert found(f"{tmp_path}/**/deep/**/*.png") == [f"{tmp_path}/x/deep/2.png"]


def test_a_tilde_within_quotes_is_the_home_folder(run, trained_once, images, monkeypatch):
    monkeypatch.setenv("HOME", str(images))
    assert run("predict", trained_once[0], "~/*.png").out.startswith(f"{images}/a.png\tdark\t")


def test_a_pattern_is_expanded(run, trained_once, images):
    done = run("predict", trained_once[0], f"{images}/*.png")
    assert [line.split("\t")[1] for line in done.out.splitlines()] == ["dark", "bright"]
    assert len(run("predict", trained_once[0], f"{images}/**/c*").out.splitlines()) == 1


def test_batches_keep_the_order(run, trained_once, tmp_path):
    photos = write_photos(tmp_path / "many", per_class=9)
    whole = run("predict", trained_once[0], photos)
    assert len(whole.out.splitlines()) == 18
    assert run("predict", trained_once[0], photos, "--batch-size", "4", "--workers", "3").out == whole.out


def test_several_classes_can_be_named(run, trained_once, images):
    fields = run("predict", trained_once[0], images / "a.png", "--top", "5").out.rstrip("\n").split("\t")
    assert fields[1::2] == ["dark", "bright"]
    assert sum(map(float, fields[2::2])) == pytest.approx(1, abs=2e-4)  # each is rounded to four digits


def test_json_is_an_object_for_one_image_and_an_array_for_more(run, trained_once, images):
    one = json.loads(run("predict", trained_once[0], images / "a.png", "--json", "--top", "2").out)
    assert (one["path"], one["class"]) == (str(images / "a.png"), "dark")
    assert [entry["class"] for entry in one["top"]] == ["dark", "bright"]
    assert one["probability"] == one["top"][0]["probability"]
    many = json.loads(run("predict", trained_once[0], images, "--json", "--batch-size", "2").out)
    assert [entry["class"] for entry in many] == ["dark", "bright", "bright"]
    (images / "b.png").unlink()
    (images / "deep/er/c.PNG").unlink()
    assert len(json.loads(run("predict", trained_once[0], images, "--json").out)) == 1  # a folder is always an array


def test_csv_has_a_header_and_quotes_what_needs_it(run, trained_once, tmp_path):
    path = write_image(tmp_path / 'a, "b".png', 40)
    done = run("predict", trained_once[0], path, "--csv", "--top", "2")
    rows = list(csv.reader(io.StringIO(done.out)))
    assert rows[0] == ["path", "class", "probability", "class_2", "probability_2"]
    assert rows[1][:2] == [str(path), "dark"]


def test_an_unreadable_image_is_listed_and_skipped(run, trained_once, images):
    (images / "a.png").write_text("no image")
    done = run("predict", trained_once[0], images)
    assert done.code == 0
    assert len(done.out.splitlines()) == 2
    assert "warning: " in done.err
    assert "a.png: not an image" in done.err
    assert "1 image of 3 could not be read" in done.err
    assert run("predict", trained_once[0], images, "--strict").code == 1


def test_no_readable_image_is_a_failure(run, trained_once, images):
    (images / "a.png").write_bytes((images / "a.png").read_bytes()[:60])
    for flags, out in ((["--json"], ""), (["--csv"], "path,class,probability\n"), ([], "")):
        done = run("predict", trained_once[0], images / "a.png", *flags)
        assert (done.code, done.out) == (1, out)
    (images / "b.png").write_bytes(b"")
    done = run("predict", trained_once[0], images / "a.png", images / "b.png", "--json")
    assert (done.code, json.loads(done.out)) == (1, [])


# -- refused ----------------------------------------------------------------------------------------------------------


def test_what_cannot_be_predicted_is_told(run, trained_once, images, tmp_path):
    (tmp_path / "empty").mkdir()
    cases = [
        ([images / "bb.png"], 2, f"there is no file or folder {images}/bb.png", f"did you mean {images}/b.png?"),
        ([tmp_path / "empty"], 1, f"{tmp_path}/empty: this folder has no images", "images end in .jpg"),
        ([f"{images}/*.jpg"], 2, f"{images}/*.jpg: no file matches this pattern", "check the pattern"),
        ([f"{images}/no/*.jpg"], 2, f"{images}/no/*.jpg: no file matches", f"there is no folder {images}/no"),
        (["--list", images], 2, "--list needs - as a SOURCE", "such as: neocog predict MODEL - --list"),
        ([""], 2, "SOURCE must not be empty", "see neocog predict --help"),
        (["https://a/b.jpg"], 2, "https://a/b.jpg: URLs are not loaded", "download the image"),
        (["s3://a/*.jpg?b=[c]"], 2, "s3://a/*.jpg?b=[c]: URLs are not loaded", "download the image"),
        (["-", "-"], 2, "stdin can be read once, got '-' twice", "see neocog predict --help"),
        (["--csv", "--json", images], 2, "--csv and --json cannot both be given", "see neocog predict --help"),
        (["--top", "0", images], 2, "--top must be 1 or more, got 0", "see neocog predict --help"),
        ([], 2, "neocog predict needs SOURCE", "see neocog predict --help"),
    ]
    for words, code, message, hint in cases:
        done = run("predict", trained_once[0], *words)
        assert (done.code, done.out) == (code, "")
        assert done.err.startswith(f"error: {message}"), done.err
        assert f"\n  hint: {hint}" in done.err


def test_sources_keep_the_order_in_which_they_are_named(images):
    sources = [f"{images}/b.png", f"{images}/deep", f"{images}/a*"]
    names = [Path(picture.name).name for picture in Pictures(sources)]
    assert names == ["b.png", "c.PNG", "a.png"]


def test_control_characters_of_a_name_do_not_break_the_lines(run, trained_once, tmp_path):
    path = write_image(tmp_path / "a\tb\nc.png", 40)
    out = run("predict", trained_once[0], path).out
    assert out.startswith(f"{tmp_path}/a\\tb\\nc.png\tdark\t")
    assert json.loads(run("predict", trained_once[0], path, "--json").out)["path"] == str(path)
