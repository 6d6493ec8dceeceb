import json
import os
import shutil
from collections import Counter

import numpy as np
import pytest
from PIL import Image

from neocog.data.arrays import ArrayDataset
from neocog.data.check import check_data
from neocog.data.dataset import DataSplits
from neocog.data.sources import open_data


@pytest.fixture
def folder(tmp_path, save_image):
    """A clean folder: two classes of 12 training and 3 test images."""
    for number in range(30):
        part = "train" if number < 24 else "test"
        save_image(f"{part}/{'ab'[number % 2]}/{number:02}.png", number)
    return tmp_path


def findings(folder):
    return {finding.code: finding for finding in check_data(open_data(folder)).findings}


def test_clean_data_has_nothing_to_complain_about(folder):
    seen = []
    report = check_data(open_data(folder), progress=lambda done, total: seen.append((done, total)))
    assert report.ok
    assert report.findings == ()
    assert report.counts == {"train": (12, 12), "test": (3, 3)}
    assert report.smallest == report.largest == (8, 12)
    assert report.modes == {"RGB": 30}
    assert seen[-1] == (30, 30)
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    text = str(report)
    assert "pixels: 8 x 12" in text
    assert "no problems found" in text


def test_unreadable_files_are_errors_with_their_reason(folder):
    (folder / "train/a/00.png").write_bytes(b"junk")
    (folder / "test/b/25.png").write_bytes((folder / "test/b/25.png").read_bytes()[:100])
    report = check_data(open_data(folder))
    assert not report.ok
    finding = report.findings[0]
    assert (finding.severity, finding.code, finding.count) == ("error", "unreadable", 2)
    assert "00.png: not an image" in finding.examples[0]
    assert "25.png: the image is damaged or truncated (100 bytes)" in finding.examples[1]
    assert "error: 2 files cannot be read" in report.to_text()


def test_copies_and_conflicting_labels_are_found(folder):
    shutil.copy(folder / "train/a/00.png", folder / "train/a/copy.png")
    shutil.copy(folder / "train/a/02.png", folder / "test/a/leak.png")
    shutil.copy(folder / "train/a/04.png", folder / "train/b/other.png")
    found = findings(folder)
    assert found["duplicates-within-part"].severity == "note"
    assert "train/a/00.png = train/a/copy.png" in found["duplicates-within-part"].examples
    assert "duplicates within a part: 2 images" in found["duplicates-within-part"].message
    leak = found["duplicates-across-parts"]
    assert leak.severity == "warning"
    assert leak.examples == ("train: train/a/02.png = test: test/a/leak.png",)
    conflict = found["conflicting-labels"]
    assert conflict.severity == "warning"
    assert conflict.examples == ("train/a/04.png (a) = train/b/other.png (b)",)


def test_a_picture_that_was_saved_anew_in_another_part_is_found(folder):
    random = np.random.default_rng(0)
    for part, kind in (("train", "a"), ("test", "b")):
        for number in range(3):
            cells = Image.fromarray(random.integers(0, 256, (6, 6), np.uint8))
            cells.resize((96, 96), Image.Resampling.BICUBIC).save(folder / part / kind / f"photo{number}.png")
    Image.open(folder / "train/a/photo1.png").save(folder / "test/a/again.jpg", quality=60)
    found = findings(folder)
    near = found["near-duplicates-across-parts"]
    assert (near.severity, near.count) == ("warning", 1)
    assert near.examples == ("train: train/a/photo1.png ~ test: test/a/again.jpg",)
    assert "duplicates-across-parts" not in found


def test_small_empty_and_unequal_classes_are_found(folder, save_image):
    save_image("train/c/1.png", 100)
    save_image("test/d/1.png", 101)
    (folder / "train/e").mkdir()
    found = findings(folder)
    assert found["few-images"].examples == ("c: 1",)
    assert found["unequal-classes"].message.endswith("12.0 times the images of the smallest: a 12, c 1")
    assert found["no-training-images"].severity == "error"
    assert found["no-training-images"].examples == ("d",)
    assert found["class-not-held-out"].message == "classes without images in test: 1"
    assert found["class-not-held-out"].examples == ("c",)
    assert found["empty-class-folder"].examples == ("e",)


def test_one_class_only_is_an_error(tmp_path, save_image):
    for number in range(12):
        save_image(f"cat/{number}.png", number)
    found = findings(tmp_path)
    assert found["one-class"].severity == "error"
    assert "'cat'" in found["one-class"].message


def test_sizes_and_formats_are_told(folder, save_image):
    save_image("train/a/big.png", 50, size=(100, 5), mode="L")
    (folder / "train/a/readme.txt").write_text("")
    report = check_data(open_data(folder))
    assert (report.smallest, report.largest) == ((5, 12), (8, 100))
    assert report.modes == {"RGB": 30, "L": 1}
    found = {finding.code: finding for finding in report.findings}
    assert found["mixed-formats"].examples == ("L: train/a/big.png",)
    assert "readme.txt ignored" in found["source"].message
    assert "height 5 to 8, width 12 to 100" in report.to_text()


def test_arrays_are_checked_too():
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 6), np.uint8)
    labels = np.arange(40) % 2
    splits = DataSplits(ArrayDataset(images, labels), None, ArrayDataset(images[:2], labels[:2]), "arrays")
    report = check_data(splits, workers=0)
    assert report.ok
    assert report.modes == {"uint8 grey": 42}
    assert [finding.code for finding in report.findings] == ["duplicates-across-parts"]


def test_the_report_is_json_for_programs(folder):
    (folder / "train/a/00.png").write_bytes(b"")
    report = json.loads(check_data(open_data(folder)).to_json())
    assert report["ok"] is False
    assert report["counts"] == {"train": [12, 12], "test": [3, 3]}
    assert report["findings"][0]["code"] == "unreadable"


def test_many_findings_are_cut_short_in_the_text(folder):
    for path in folder.glob("train/a/*.png"):
        path.write_bytes(b"junk")
    text = check_data(open_data(folder)).to_text()
    assert "error: 12 files cannot be read" in text
    assert "and 7 more" in text


@pytest.mark.data
def test_the_public_photographs_pass(data_folder):
    report = check_data(open_data(data_folder("clothing-small")))
    assert report.ok
    assert sum(report.counts["train"]) == 3068
    assert max(report.largest) == 224


def test_names_that_act_on_a_terminal_are_shown_as_escapes(tmp_path, save_image):
    for number in range(2):
        save_image(f"a\x1b[2J\n/{number}.png")
        save_image(f"b\u202e/{number}.png", 5)
    (tmp_path / "b\u202e/x\x07.png").write_text("no image")
    report = check_data(open_data(tmp_path, validation_fraction=0, test_fraction=0))
    text = report.to_text()
    assert "\x1b" not in text + report.to_json()
    assert "\u202e" not in text + report.to_json()
    assert "\x07" not in text
    rows = [line for line in text.splitlines() if line.startswith(("a", "b"))]
    assert [row.split()[0] for row in rows] == ["a\\x1b[2J\\n", "b\\u202e", "all"]
    assert len({len(row) for row in rows}) == 1
    assert "x\\x07.png" in text


def test_a_check_opens_each_image_twice_to_divide_and_to_decode(tmp_path, save_image, monkeypatch):
    for number in range(40):
        save_image(f"set/{number % 2}/{number}.png", number)
    opened, really = Counter(), os.open

    def open_and_note(path, *arguments, **options):
        if str(path).endswith(".png"):
            opened[str(path)] += 1
        return really(path, *arguments, **options)

    monkeypatch.setattr(os, "open", open_and_note)
    splits = open_data(tmp_path / "set")
    assert check_data(splits).ok
    assert len(opened) == 40
    assert max(opened.values()) == 2
