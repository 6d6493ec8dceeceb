"""Tables as people have them."""

import pytest

from neocog.data.table import read_metadata, read_table
from neocog.errors import DataError, FormatError


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("sep=;\npath;label\nimg/0.png;dög\nimg/1.png;cat\n", "utf-8"),
        ('"sep=,"\r\npath,label\r\nimg/0.png,dög\r\nimg/1.png,cat\r\n', "utf-8"),
        ("\npath,label\nimg/0.png,dög\nimg/1.png,cat", "utf-8"),
        ("path\tlabel\nimg/0.png\tdög\nimg/1.png\tcat\n", "utf-16"),  # Excel's "Unicode text"
        ("path,label\rimg/0.png,dög\rimg/1.png,cat\r", "utf-8"),  # of an old Mac
        ("path|label|note\nimg/0.png|dög|a, b; c\nimg/1.png|cat|\n", "utf-8"),
        (",path,label\n0,img/0.png,dög\n1,img/1.png,cat\n", "utf-8"),  # pandas writes its index
        ("path, label\nimg/0.png, dög\n img/1.png , cat\n", "utf-8"),
        ('path, label\n"img/0.png", "dög"\nimg/1.png, "cat"\n', "utf-8"),
        ("path,label,,\nimg/0.png,dög,,,,\nimg/1.png,cat,,\n", "utf-8"),  # Excel writes empty columns
        ("path,label,a;b;c;d\nimg/0.png,dög,\nimg/1.png,cat,;;;\n", "utf-8"),
    ],
)
def test_tables_are_read_as_people_have_them(table, text, encoding):
    path = table("")
    path.write_bytes(text.encode(encoding))
    data = read_table(path).unsplit
    assert data.class_names == ("cat", "dög")
    assert data.identifiers == ["img/0.png", "img/1.png"]
    assert data.labels.tolist() == [1, 0]


def test_a_cell_in_quotes_may_hold_anything(table):
    data = read_table(table('path,label\nimg/0.png,"a, ""b""; c"\nimg/1.png,d\n')).unsplit
    assert data.class_names == ('a, "b"; c', "d")


@pytest.mark.parametrize(
    ("labels", "classes"),
    [
        (["1.0", "0.0", "10", "9."], ("0", "1", "9", "10")),
        (["1.5", "0.5", "10.0"], ("0.5", "1.5", "10.0")),
        (["-1", "1", "0"], ("-1", "0", "1")),
        (["1.0", "a"], ("1.0", "a")),
        (["007", "7"], ("007", "7")),
        ([255 * "9", "1"], ("1", 255 * "9")),
        (["٣", "1"], ("1", "٣")),  # digits of any script
        (["²", "1"], ("1", "²")),  # which is no digit to count with
    ],
)
def test_labels_that_are_numbers_are_sorted_and_written_as_numbers(table, labels, classes):
    rows = "".join(f"img/{i}.png,{label}\n" for i, label in enumerate(labels))
    assert read_table(table("path,label\n" + rows)).unsplit.class_names == classes


def test_numbers_and_truth_in_json_are_names(table):
    lines = "".join(f'{{"path": "img/0.png", "label": {value}}}\n' for value in ("1.0", "2", "10"))
    assert read_table(table(lines, "a.jsonl")).unsplit.class_names == ("1", "2", "10")
    lines = "".join(f'{{"path": "img/0.png", "label": {value}}}\n' for value in ("true", "false"))
    assert read_table(table(lines, "a.jsonl")).unsplit.class_names == ("False", "True")


def test_split_columns_take_the_names_that_folders_have(table):
    source = read_table(table("path,label,split\nimg/0.png,a,train_set\nimg/1.png,b,Test Images\n"))
    assert (len(source.train), len(source.test)) == (1, 1)
    short = table("path,label,split\nimg/0.png,a\nimg/1.png,b,test\n")
    with pytest.raises(FormatError, match="line 2: split is empty"):
        read_table(short)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("img/0.png,a\nimg/1.png,b\n", "line 1 names an image: put a line above it that names the columns"),
        (
            "path,cat,dog,age\nimg/0.png,1,0,7\n",
            "where each class has a column of 0 and 1, remove columns that are none, such",
        ),
        ("path;label,de\nimg/0.png;a\n", "call the column of classes: label"),
        ("id,label\nimg/0,a\n", "call the column of files: path"),
        ("a,b\n1,2\n", "the first line names the columns, such as: path,label"),
    ],
)
def test_missing_columns_get_a_hint(table, text, hint):
    with pytest.raises(FormatError, match="line 1: needs a column") as caught:
        read_table(table(text))
    assert caught.value.hint.startswith(hint)


@pytest.mark.parametrize(
    ("path", "hint"),
    [
        ("C:\\Users\\me\\img\\0.png", "img/0.png exists: paths are relative to the table, such as img/0.png"),
        ("/home/me/photos/img/0.png", "img/0.png exists: paths are relative to the table, such as img/0.png"),
        ("img/0", "img/0.png exists: paths need the file extension"),
        ("0.png", "found img/0.png: paths include the folder, and are relative to the table"),
        ("nothing/like/it.png", "paths are relative to the table"),
        (5000 * "x", "paths are relative to the table"),
    ],
)
def test_files_that_are_not_where_the_table_says_get_a_hint(table, path, hint):
    with pytest.raises(DataError, match=r"none of its 1 files exists; the first is .* \(line 2\)") as caught:
        read_table(table(f"path,label\n{path},a\n"))
    assert caught.value.hint.endswith(hint)


def test_images_that_a_metadata_table_does_not_list_are_counted(tmp_path, table, save_image):
    save_image("img/deep/9.png")
    (tmp_path / "img/x.heic").write_bytes(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic")
    table("file_name,label\nimg/0.png,a\n./img//1.png,b\n", "metadata.csv")
    for source in (read_metadata(tmp_path), read_table(tmp_path / "metadata.csv")):
        assert source.notes == (
            "1 picture left out, in formats that are not read (HEIC 1): img/x.heic; convert them, such as to JPEG",
            "3 of 5 images in the folder are not in metadata.csv and are left out: "
            "img/2.png, img/3.png, img/deep/9.png",
        )
    assert read_table(table("path,label\nimg/0.png,a\n")).notes == ()  # another table may choose


def test_a_part_without_a_table_beside_one_with_a_table_is_noted(tmp_path, save_image):
    save_image("train/1.png")
    save_image("test/1.png")
    (tmp_path / "train/metadata.csv").write_text("file_name,label\n1.png,a\n")
    assert read_metadata(tmp_path).notes == ("test ignored: no table of labels there, unlike in train",)


def test_a_table_whose_files_are_elsewhere_is_an_error(table):
    with pytest.raises(DataError, match=r"none of its 2 files exists; the first is .*x/0\.png") as caught:
        read_table(table("path,label\nx/0.png,a\nx/1.png,b\n"))
    assert "relative to the table" in caught.value.hint
