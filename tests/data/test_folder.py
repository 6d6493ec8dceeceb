import numpy as np
import pytest

from neocog.data.folder import SPLIT_NAMES, is_image_folder, read_image_folder
from neocog.errors import DataError


def test_class_folders_without_a_split(tmp_path, save_image):
    for path in ("dog/b.png", "dog/a.JPG", "cat/deep/er/x.gif", "Zebra/1.bmp", ".hidden/x.png", "cat/.y.png"):
        save_image(path)
    source = read_image_folder(tmp_path)
    data = source.unsplit
    assert source.train is source.validation is source.test is None
    assert data.class_names == ("Zebra", "cat", "dog")
    assert data.identifiers == ["Zebra/1.bmp", "cat/deep/er/x.gif", "dog/a.JPG", "dog/b.png"]
    assert data.labels.tolist() == [0, 1, 2, 2]
    assert source.notes == ()
    assert source.name == tmp_path.name


@pytest.mark.parametrize("name", [*SPLIT_NAMES, "Train", "VAL"])
def test_every_split_name_is_known(tmp_path, save_image, name):
    save_image(f"{name}/cat/1.png", 1)
    save_image(f"{name}/dog/1.png", 2)
    part = getattr(read_image_folder(tmp_path), SPLIT_NAMES[name.lower()])
    assert part.identifiers == [f"{name}/cat/1.png", f"{name}/dog/1.png"]


def test_parts_share_their_classes(tmp_path, save_image):
    for path in ("train/b/1.png", "train/c/1.png", "val/c/1.png", "test/a/1.png"):
        save_image(path)
    source = read_image_folder(tmp_path)
    for part in (source.train, source.validation, source.test):
        assert part.class_names == ("a", "b", "c")
    assert source.validation.labels.tolist() == [2]


@pytest.mark.parametrize("suffix", [".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp", ".gif"])
def test_every_extension_is_read_in_either_case(tmp_path, save_image, suffix):
    save_image(f"a/1{suffix}", mode="L" if suffix == ".pgm" else "RGB")
    save_image(f"b/1{suffix.upper()}", mode="L" if suffix == ".pgm" else "RGB")
    data = read_image_folder(tmp_path).unsplit
    assert len(data) == 2
    assert data.images(np.arange(2), data.native_size).shape[0] == 2


def test_a_class_named_like_a_split_stays_a_class(tmp_path, save_image):
    for path in ("car/1.png", "plane/1.png", "train/1.png"):
        save_image(path)
    assert read_image_folder(tmp_path).unsplit.class_names == ("car", "plane", "train")


def test_what_is_left_out_is_noted(tmp_path, save_image):
    for path in ("train/a/1.png", "train/b/1.png", "extra/c/1.png", "train/loose.png"):
        save_image(path)
    (tmp_path / "train/a/readme.txt").write_text("hello")
    (tmp_path / "train/empty").mkdir()
    (tmp_path / "test").mkdir()
    source = read_image_folder(tmp_path)
    assert source.empty_classes == ("empty",)
    assert source.train.class_names == ("a", "b")
    notes = "\n".join(source.notes)
    for text in (
        "loose.png in",
        "must be in a class folder",
        "train/a/readme.txt ignored: no image file",
        "extra ignored: outside test, train",
        "test is empty and is ignored",
    ):
        assert text in notes


def test_notes_are_safe_to_show(tmp_path, save_image):
    for path in ("train/a/1.png", "train/b/1.png", "ex\x1btra/c/1.png", "train/loo\u202ese.png"):
        save_image(path)
    notes = "\n".join(read_image_folder(tmp_path).notes)
    assert "ex\\x1btra ignored" in notes
    assert "loo\\u202ese.png in" in notes
    assert "\x1b" not in notes


def test_links_that_lead_in_circles_end(tmp_path, save_image):
    save_image("real/1.png")
    (tmp_path / "root/a").mkdir(parents=True)
    (tmp_path / "root/a/linked").symlink_to(tmp_path / "real")
    (tmp_path / "root/a/again").symlink_to(tmp_path / "root/a")
    assert read_image_folder(tmp_path / "root").unsplit.identifiers == ["a/linked/1.png"]


def test_two_folders_for_one_part_are_an_error(tmp_path, save_image):
    for path in ("val/a/1.png", "dev/a/1.png"):
        save_image(path)
    with pytest.raises(DataError, match="dev and val both mean the validation part"):
        read_image_folder(tmp_path)


def test_split_folders_without_classes_are_an_error(tmp_path, save_image):
    for path in ("train/1.png", "test/1.png"):
        save_image(path)
    with pytest.raises(DataError, match="no class folder with images") as caught:
        read_image_folder(tmp_path)
    assert any("train contains images, but no class folders" in line for line in caught.value.details)
    assert "root/class/image.jpg" in caught.value.hint


def test_a_folder_without_images_lists_what_it_holds(tmp_path):
    (tmp_path / "notes").mkdir()
    with pytest.raises(DataError) as caught:
        read_image_folder(tmp_path)
    assert caught.value.details == ("found notes",)
    assert not is_image_folder(tmp_path)


@pytest.mark.data
def test_clothing_small_is_counted_right(data_folder):
    source = read_image_folder(data_folder("clothing-small"))
    assert [len(p) for p in (source.train, source.validation, source.test)] == [3068, 341, 372]
    assert len(source.train.class_names) == 10
    assert source.train.counts().min() == 112
    assert source.train.counts().max() == 795
    assert source.train.class_names[0] == "dress"
    assert source.notes == ()


def test_run_folders_are_left_out_at_any_depth(tmp_path, save_image):
    for path in ("a/1.png", "b/1.png", "b/run/figure.png", "runs/x/figure.png"):
        save_image(path)
    for path in ("b/run/model.safetensors", "runs/x/last.safetensors"):
        (tmp_path / path).touch()
    source = read_image_folder(tmp_path)
    assert source.unsplit.identifiers == ["a/1.png", "b/1.png"]
    assert source.empty_classes == ()
    assert source.notes == ("b/run, runs/x ignored: a run folder with a trained model",)


def test_a_part_with_images_but_no_class_folders_is_not_called_empty(tmp_path, save_image):
    for path in ("train/hor/1.png", "train/ver/2.png", "test/3.png", "test/4.png"):
        save_image(path)
    (tmp_path / "val/hor").mkdir(parents=True)
    source = read_image_folder(tmp_path)
    assert source.test is None
    assert source.notes == (
        f"3.png, 4.png in {tmp_path}/test ignored: images must be in a class folder",
        "test has no class folders and is ignored",
        "val has no images and is ignored",
    )
