"""`neocog predict` on any number of images: memory, order, pipes, lists, and what cannot be read in its place."""

import json
import os
import shlex
import subprocess
import sys
from itertools import islice
from pathlib import Path

import numpy as np
import pytest

import neocog as nc
from app.pictures import write_image
from neocog.app.cli.lists import MOST_LINE
from neocog.app.cli.predict import Unreadable, predict
from neocog.app.cli.sources import Picture, Pictures

NEOCOG = [sys.executable, "-c", "from neocog.app.cli.main import main; main()"]


@pytest.fixture
def images(tmp_path) -> list[Path]:
    return [write_image(tmp_path / f"{number}.png", 40 + 160 * (number % 2), seed=number) for number in range(5)]


@pytest.fixture
def compiled(trained_once, images):
    """Have the programs compiled already: on a busy machine that may take so long that it is told on stderr."""
    for few in (images[:1], images):
        subprocess.run([*NEOCOG, "predict", trained_once[0], *few], capture_output=True, check=True)


# -- memory -----------------------------------------------------------------------------------------------------------

PEAK = (
    "import resource, sys\nfrom neocog.app.cli.main import main\ntry:\n    main()\nfinally:\n"
    "    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
)


@pytest.mark.usefixtures("compiled")
def test_memory_does_not_grow_with_the_number_of_files(trained_once, images, tmp_path):
    """Names of 1,500 characters: to hold 3,000 of them, or what is printed of them, would take 4.5 million bytes."""

    def peak(count: int) -> int:
        folder = f"{tmp_path}/{'d/../' * 290}"
        (tmp_path / "d").mkdir(exist_ok=True)
        (tmp_path / "list.txt").write_text("".join(f"{folder}{number % 5}.png\n" for number in range(count)))
        words = ["predict", trained_once[0], f"@{tmp_path}/list.txt", "--jsonl"]
        with (tmp_path / "out").open("wb") as out:
            done = subprocess.run([sys.executable, "-c", PEAK, *words], stdout=out, stderr=subprocess.PIPE)
        assert done.returncode == 0, done.stderr
        assert len((tmp_path / "out").read_bytes().splitlines()) == count
        return int(done.stderr.split()[-1])  # KiB

    assert peak(3000) - peak(200) < 2500


def test_pictures_are_read_no_further_ahead_than_needed(trained_once, images):
    model = nc.load(trained_once[0] / "model.safetensors")
    asked = []

    def endless():
        while True:
            asked.append(len(asked))
            yield Picture(str(len(asked)), lambda: images[0])

    batches = list(islice(predict(model, endless(), batch_size=4, workers=2), 3))
    assert [prediction.path for batch in batches for prediction in batch] == [str(n + 1) for n in range(12)]
    assert len(asked) <= 12 + 8 + 1


def test_names_of_a_folder_are_read_when_they_are_needed(tmp_path, images):
    write_image(tmp_path / "z/last.png", 40)
    pictures = iter(Pictures([str(tmp_path)]))
    assert next(pictures).name == str(images[0])
    write_image(tmp_path / "z/later.png", 40)  # a folder is looked into when it is its turn
    assert [Path(picture.name).name for picture in pictures][-2:] == ["last.png", "later.png"]


# -- pipes ------------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("compiled")
@pytest.mark.parametrize("form", ["", "--jsonl", "--csv", "--json"])
def test_a_reader_that_has_enough_ends_an_endless_list(trained_once, images, form):
    words = shlex.join([*NEOCOG, "predict", str(trained_once[0]), "-", "--list"])
    script = f"set -o pipefail; yes {images[0]} | ({words} {form}; echo $? >&2) | head -n 3"
    done = subprocess.run(["bash", "-c", script], capture_output=True, timeout=300)
    assert len(done.stdout.splitlines()) == 3
    said = [line for line in done.stderr.splitlines() if b"--precision auto" not in line]  # told where there is AMX
    assert said == [b"0"]


@pytest.mark.usefixtures("compiled")
def test_answers_come_while_the_list_is_still_being_written(trained_once, images):
    words = [*NEOCOG, "predict", str(trained_once[0]), "-", "--list", "--jsonl"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1) as neocog:
        for image in images[:3]:
            neocog.stdin.write(f"{image}\n")
            assert json.loads(neocog.stdout.readline())["path"] == str(image)
        neocog.stdin.close()
        assert neocog.stdout.read() == ""
    assert neocog.returncode == 0


# -- lists ------------------------------------------------------------------------------------------------------------


def test_a_list_may_lie_in_a_file(run, trained_once, images, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = f"{images[1]}\r\n\n0.png\n{images[3].name}"  # no line end behind the last
    (tmp_path / "list.txt").write_text(text)
    done = run("predict", trained_once[0], "@list.txt", images[4])
    assert done.code == 0, done.err
    names = [line.split("\t")[0] for line in done.out.splitlines()]
    assert names == [str(images[1]), "0.png", "3.png", str(images[4])]
    (tmp_path / "@1.png").write_bytes(images[1].read_bytes())
    assert run("predict", trained_once[0], "@1.png").out.startswith("@1.png\tbright")  # a file of that name


def test_line_ends_may_fall_anywhere(trained_once, images, tmp_path, monkeypatch):
    monkeypatch.setattr("neocog.app.cli.lists._READ", 7)
    (tmp_path / "list.txt").write_text("".join(f"{image}\r\n" for image in images))
    assert [picture.name for picture in Pictures([f"@{tmp_path}/list.txt"])] == [str(image) for image in images]


def test_what_is_no_list_is_told(run, trained_once, images, tmp_path):
    (tmp_path / "empty.txt").write_text("\n \n")
    (tmp_path / "long.txt").write_text("a" * (MOST_LINE + 100))
    cases = [
        ("@none.txt", 2, "the list of paths none.txt cannot be read: No such file or directory", "one path a line"),
        (f"@{tmp_path}", 2, f"the list of paths {tmp_path} cannot be read: Is a directory", "one path a line"),
        (f"@{tmp_path}/empty.txt", 1, f"the list of paths {tmp_path}/empty.txt is empty", None),
        (
            f"@{tmp_path}/long.txt",
            1,
            f"the list of paths {tmp_path}/long.txt has a line of more than 1,048,576",
            "leave the @",
        ),
        (f"@{images[0]}", 1, f"the list of paths {images[0]} is an image (PNG)", "to name an image, leave the @ out"),
        ("@", 2, "there is no file or folder @", "check the spelling"),
    ]
    for word, code, message, hint in cases:
        for form in ([], ["--json"], ["--jsonl"]):
            done = run("predict", trained_once[0], word, *form)
            assert (done.code, done.out) == (code, ""), word
            assert done.err.startswith(f"error: {message}"), done.err
            assert hint is None or hint in done.err


def test_an_image_on_stdin_is_no_list(trained_once, images):
    done = subprocess.run(
        [*NEOCOG, "predict", trained_once[0], "-", "--list"], input=images[0].read_bytes(), capture_output=True
    )
    assert done.returncode == 1
    assert (
        b"the list of paths on stdin is an image (PNG)\n  hint: for an image on stdin, leave --list out" in done.stderr
    )


# -- in its place -----------------------------------------------------------------------------------------------------


def test_json_lines_say_in_its_place_what_cannot_be_read(run, trained_once, images):
    images[2].write_bytes(b"no image")
    for size in ("1", "2", "64"):
        done = run("predict", trained_once[0], *images, "--jsonl", "--batch-size", size)
        rows = [json.loads(line) for line in done.out.splitlines()]
        assert [row["path"] for row in rows] == [str(image) for image in images]
        assert rows[2] == {"path": str(images[2]), "error": rows[2]["error"]}
        assert rows[2]["error"].startswith(f"{images[2]}: not an image")
        assert [row.get("class") for row in rows] == ["dark", "bright", None, "bright", "dark"]
        assert done.code == 0
        assert done.err.endswith("1 image of 5 could not be read\n")
    assert run("predict", trained_once[0], *images, "--jsonl", "--strict").code == 1
    done = run("predict", trained_once[0], images[2], "--jsonl")
    assert (done.code, list(json.loads(done.out))) == (1, ["path", "error"])


@pytest.mark.usefixtures("compiled")
def test_warnings_stand_where_the_image_would(trained_once, images):
    images[2].write_bytes(b"no image")
    done = subprocess.run(
        [*NEOCOG, "predict", trained_once[0], *images], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    lines = [line for line in done.stdout.splitlines() if "png" in line]
    assert [Path(line.split("\t")[0]).name[:5] for line in lines if "\t" in line] == [
        image.name for image in images if image != images[2]
    ]
    assert lines[2].startswith("warning: ")


def test_forms_exclude_each_other(run, trained_once, images):
    done = run("predict", trained_once[0], images[0], "--jsonl", "--json")
    assert (done.code, done.out) == (2, "")
    assert "--json and --jsonl cannot both be given" in done.err


def test_all_ways_to_the_same_image_give_the_same_bits(trained_once, images):
    model = nc.load(trained_once[0] / "model.safetensors")
    want = model.predict_proba(images[0]).max()
    everything = [*images, *images]

    def found(words, **settings) -> float:
        done = subprocess.run([*NEOCOG, "predict", trained_once[0], *words], capture_output=True, **settings)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[0])["probability"]

    assert found([images[0], "--jsonl"]) == want
    assert found([*everything, "--jsonl"]) == want
    assert found([*everything, "--jsonl", "-b", "3"]) == want
    assert found(["-", "--jsonl"], input=images[0].read_bytes()) == want
    assert found(["-", "--list", "--jsonl"], input=os.fsencode(images[0])) == want
    assert np.float32(want) == want


def test_unreadable_images_are_outcomes_too(trained_once, images):
    model = nc.load(trained_once[0] / "model.safetensors")
    (batch,) = predict(model, [Picture("a", lambda: images[0]), Picture("b", lambda: Path("nowhere.png"))])
    assert isinstance(batch[1], Unreadable)
    assert batch[1].to_json() == {"path": "b", "error": "b: there is no such file"}
