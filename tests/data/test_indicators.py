"""Tables with one column a class: which are read so, what they give, and what is refused."""

import json

import pytest

from neocog.data.sources import read_source
from neocog.data.table import read_table
from neocog.errors import FormatError


def test_a_column_of_ones_and_zeros_is_a_class(table):
    text = "Filename,Dog,cat,owl\nimg/0.png,1,1,0\nimg/1.png, 0 ,1.0,0\nimg/2.png,False,TRUE,0\nimg/3.png,0,0,0\n"
    data = read_table(table(text)).unsplit
    assert data.class_names == ("Dog", "cat", "owl")  # as they are written, and those without an image too
    assert data.several_labels
    assert data.labels.tolist() == [[1, 1, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]]


def test_parts_and_numbered_rows_are_no_classes(table):
    text = ",path,b,a,split\n0,img/0.png,1,1,train\n1,img/1.png,0,1,train\n2,img/2.png,1,0,test\n"
    source = read_table(table(text))
    assert source.train.labels.tolist() == [[1, 1], [1, 0]]
    assert source.test.labels.tolist() == [[0, 1]]
    assert source.test.class_names == ("a", "b")


def test_one_class_each_is_no_question_of_several_labels(table):
    source = read_table(table("path,dog,cat\nimg/0.png,1,0\nimg/1.png,0,1\nimg/2.png,0,1\n"))
    assert not source.unsplit.several_labels
    assert source.unsplit.class_names == ("cat", "dog")
    assert source.unsplit.labels.tolist() == [1, 0, 0]
    assert source.notes == ("each image has a 1 in exactly one of 2 columns, so that it has one class",)


def test_one_column_is_one_question(table):
    data = read_table(table("path,rust\nimg/0.png,1\nimg/1.png,0\n")).unsplit
    assert data.class_names == ("rust",)
    assert data.labels.tolist() == [[1], [0]]


def test_json_lines_may_say_so_too(table):
    rows = [{"path": "img/0.png", "Dog": 1, "cat": True}, {"path": "img/1.png", "cat": 0, "Dog": 1.0}]
    data = read_table(table("".join(f"\n{json.dumps(row)}\n" for row in rows), "labels.jsonl")).unsplit
    assert data.class_names == ("Dog", "cat")
    assert data.labels.tolist() == [[1, 1], [1, 0]]


def test_a_folder_of_images_with_such_a_table_is_read(table):
    folder = table("file_name,cat,dog\nimg/0.png,1,1\nimg/1.png,0,1\n", "metadata.csv").parent
    source = read_source(folder)
    assert source.unsplit.labels.tolist() == [[1, 1], [0, 1]]
    assert not [note for note in source.notes if "ignored" in note]


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            "img/0.png,1,0\nimg/1.png,1,\n",
            "line 3: cat must be 0 or 1, got nothing",
            "each column but the path stands for",
        ),
        ("img/0.png,1,0\nimg/1.png,-1,0\n", "line 3: Dog must be 0 or 1, got '-1'", "decide what is not known"),
        ("img/0.png,1,0\nimg/1.png,1\n", "line 3: cat must be 0 or 1, got nothing", "remove those that do not"),
        ("img/0.png,1,0.5\n", "line 1: needs a column path", "remove columns that are none, such as cat"),
        ("img/0.png,a,b\n", "line 1: needs a column path", "call the column of classes: label"),
        ("", "line 1: needs a column path", "call the column of classes: label"),
    ],
)
def test_what_is_neither_zero_nor_one_is_told_with_its_line(table, text, message, hint):
    with pytest.raises(FormatError, match=message) as caught:
        read_table(table(f"path,Dog,cat\n{text}"))
    assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("path,cat,Cat", "line 1: two columns are called 'cat'"),
        ("path,cat|dog,owl", r"line 1: a column is called 'cat\|dog'"),
        (f"path,{'x' * 300},owl", "line 1: a column's name has 300 characters, at most 255"),
    ],
)
def test_columns_that_name_no_class_are_refused(table, header, message):
    with pytest.raises(FormatError, match=message):
        read_table(table(f"{header}\nimg/0.png,1,1\n"))


def test_a_class_that_only_later_rows_name_is_refused(table):
    rows = '{"path": "img/0.png", "cat": 1, "dog": 1}\n{"path": "img/1.png", "cat": 1, "dog": 1, "owl": 1}\n'
    with pytest.raises(FormatError, match="line 2: owl is given here, but not in the first line"):
        read_table(table(rows, "labels.jsonl"))
