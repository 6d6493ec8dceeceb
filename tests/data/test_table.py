import json
import os

import pytest

from neocog.data import records
from neocog.data.table import find_metadata, read_metadata, read_table
from neocog.errors import FormatError


@pytest.mark.parametrize("path", ["path", "file_name", "file", "image", "filename", "Path"])
@pytest.mark.parametrize("label", ["label", "class", "target", " LABEL "])
def test_every_column_name_is_known(table, path, label):
    data = read_table(table(f"{path},{label}\nimg/0.png,dog\nimg/1.png,cat\n")).unsplit
    assert data.class_names == ("cat", "dog")
    assert data.labels.tolist() == [1, 0]
    assert data.identifiers == ["img/0.png", "img/1.png"]
    assert data.facts(0).height == 8


def test_a_tilde_is_the_home_folder(table, monkeypatch):
    monkeypatch.setenv("HOME", str(table("path,label\nimg/0.png,dog\nimg/1.png,cat\n", "metadata.csv").parent))
    assert read_table("~/metadata.csv").unsplit.facts(0).height == 8
    assert len(read_metadata("~").unsplit) == 2


@pytest.mark.parametrize("separator", [",", ";", "\t"])
def test_separators_byte_order_marks_and_other_columns_are_fine(table, separator):
    text = 'id,path,label,note\n1,"img/0.png",a,\n\n2,img\\1.png,b,x\n'.replace(",", separator)
    data = read_table(table(text, encoding="utf-8-sig")).unsplit
    assert data.identifiers == ["img/0.png", "img/1.png"]


def test_a_split_column_makes_parts(table):
    text = "path,label,split\nimg/0.png,a,train\nimg/1.png,b,Train\nimg/2.png,a,dev\nimg/3.png,b,testing\n"
    source = read_table(table(text))
    assert [len(p) for p in (source.train, source.validation, source.test)] == [2, 1, 1]
    assert source.unsplit is None
    assert source.validation.class_names == ("a", "b")


def test_images_may_have_several_labels_or_none(table):
    text = (
        "path,labels,split\nimg/0.png,dog|cat,train\nimg/1.png,cat | cat,train\nimg/2.png,,train\nimg/3.png,owl,test\n"
    )
    source = read_table(table(text))
    assert source.train.class_names == ("cat", "dog", "owl")
    assert source.train.several_labels
    assert source.train.labels.tolist() == [[1, 1, 0], [1, 0, 0], [0, 0, 0]]
    assert source.train.counts().tolist() == [2, 1, 0]
    assert [source.train.label_text(index) for index in range(3)] == ["cat|dog", "cat", ""]
    assert source.test.labels.tolist() == [[0, 0, 1]]
    assert source.train.targets == [[1, 1, 0], [1, 0, 0], [0, 0, 0]]


def test_several_labels_are_a_list_in_json_lines(table):
    rows = [{"path": "img/0.png", "labels": ["b", "a"]}, {"path": "img/1.png", "labels": []}]
    rows += [{"path": "img/2.png", "labels": "a|b"}, {"path": "img/3.png", "labels": None}]
    data = read_table(table("".join(f"{json.dumps(row)}\n" for row in rows), "labels.jsonl")).unsplit
    assert data.labels.tolist() == [[1, 1], [0, 0], [1, 1], [0, 0]]


def test_several_labels_that_are_numbers_are_sorted_as_such(table):
    data = read_table(table("path,labels\nimg/0.png,10|9.0\nimg/1.png,9\n")).unsplit
    assert data.class_names == ("9", "10")
    assert data.labels.tolist() == [[1, 1], [1, 0]]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("img/0.png,\nimg/1.png,\n", "no image has a label"),
        ("img/0.png,a||b\n", "line 2: labels is empty"),
        ("img/0.png,\"['a', 'b']\"\n", "line 2: labels is written as a list"),
    ],
)
def test_damaged_lists_of_labels_are_refused(table, rows, message):
    with pytest.raises(FormatError, match=message):
        read_table(table(f"path,labels\n{rows}"))


def test_a_list_in_a_column_of_one_label_is_refused_with_the_way(table):
    text = json.dumps({"path": "img/0.png", "label": ["a", "b"]})
    with pytest.raises(FormatError, match="label must be text or a number, got a list") as caught:
        read_table(table(text, "labels.jsonl"))
    assert "call the column labels and write cat|dog" in caught.value.hint


def test_numbers_are_sorted_as_numbers(table):
    rows = "".join(f"img/{i % 4}.png,{i}\n" for i in (10, 9, 2))
    assert read_table(table("path,label\n" + rows)).unsplit.class_names == ("2", "9", "10")


def test_json_lines_are_read(table):
    text = '{"file_name": "img/0.png", "label": 3}\n\n{"file_name": "img/1.png", "label": "x"}\n'
    assert read_table(table(text, "labels.jsonl")).unsplit.class_names == ("3", "x")


def test_metadata_inside_a_folder(tmp_path, table):
    assert find_metadata(tmp_path) == ({}, {}, {})
    table("file_name,label\nimg/0.png,a\nimg/1.png,b\n", "metadata.csv")
    source = read_metadata(tmp_path)
    assert source.unsplit.identifiers == ["img/0.png", "img/1.png"]
    assert source.name == tmp_path.name


def test_metadata_in_each_part(tmp_path, save_image):
    for part, label in (("train", "a"), ("test", "b")):
        save_image(f"{part}/1.png")
        (tmp_path / part / "metadata.csv").write_text(f"file_name,label\n1.png,{label}\n")
    source = read_metadata(tmp_path)
    assert source.train.identifiers == ["train/1.png"]
    assert source.test.identifiers == ["test/1.png"]
    assert source.test.labels.tolist() == [1]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"the table has no rows \(0 bytes\)"),
        ("path,label\n", r"the table has no rows \(11 bytes\)"),
        ("img/0.png,a\nimg/1.png,b\n", r"needs a column path\|.* found 'img/0.png', 'a'"),
        ("path,colour\nimg/0.png,a\n", r"a column label\|class\|target, found 'path', 'colour'"),
        ("path,label\nimg/0.png,a\nimg/1.png,\n", "line 3: label is empty"),
        ("path,label\n\nimg/0.png,a\n\nimg/1.png\n", "line 5: label is empty"),
        ("path,label\nimg/0.png,a\nimg, old/1.png,b\n", "line 3: 3 cells, but line 1 names 2 columns; .* 'b'"),
        ("sep=;\npath;label\na;b;c\n", "line 3: 3 cells, but line 2 names 2 columns"),
        ('path,label\nimg/0.png,"a\nimg/1.png,b\n', "line 2: not valid CSV: unexpected end of data"),
        ('path,label\nimg/0.png,"a\nb"\n', "line 2: label runs over several lines"),
        ('path,label\n"a"b.png,a\n', "line 2: not valid CSV: ',' expected after '\"'"),
        ("path,label,label\nimg/0.png,a,b\n", "line 1: two columns are called 'label'"),
        ("path,label\nimg/0.png," + 300 * "x" + "\n", "line 2: label has 300 characters, at most 255 are allowed"),
        ("path,label\nimg/0.png,a\0b\n", "line 2: label contains a NUL character"),
        ("path,label\na\0.png,a\n", r"line 2: no file can have this name: 'a\\x00.png'"),
        (
            "path,label\nimg/0.png," + 200_000 * "x" + "\n",
            r"line 2: not valid CSV: field larger than field limit \(131072\)",
        ),
        ("path,label\nimg/0.png\n", "line 2: label is empty"),
        ("path,label\n,a\n", "line 2: path is empty"),
        ("path,label,split\nimg/0.png,a,trial\n", "line 2: split must be one of train, .* got 'trial'"),
    ],
)
def test_damaged_tables_name_the_line(table, text, message):
    with pytest.raises(FormatError, match=message) as caught:
        read_table(table(text))
    assert "labels.csv" in caught.value.message


def test_other_damage_is_named(tmp_path, table):
    with pytest.raises(FormatError, match=r"line 2: not UTF-8 text \(byte 0xE4\)"):
        read_table(table("path,label\nimg/0.png,\xe4\n", encoding="latin-1"))
    with pytest.raises(FormatError, match="line 2: not valid JSON"):
        read_table(table('{"path": "img/0.png", "label": 1}\n{"path":\n', "a.jsonl"))
    with pytest.raises(FormatError, match=r"line 1: expected a JSON object, got \[1, 2\]"):
        read_table(table("[1, 2]\n", "a.jsonl"))
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        read_table(tmp_path / "gone.csv")
    (tmp_path / "book.csv").write_bytes(b"PK\3\4" + bytes(50))
    with pytest.raises(FormatError, match="a workbook or an archive, not text"):
        read_table(tmp_path / "book.csv")
    (tmp_path / "half.csv").write_bytes("path,label\n".encode("utf-16")[:-1])
    with pytest.raises(FormatError, match="not UTF-16 text"):
        read_table(tmp_path / "half.csv")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"path": "img/0.png", "label": ["a"]}', "label must be text or a number, got a list"),
        ('{"path": "img/0.png", "label": {"a": 1}}', "label must be text or a number, got an object"),
        ('{"path": "img/0.png", "label": NaN}', "label is NaN"),
        ('{"path": "img/0.png", "label": -Infinity}', "label is -Infinity"),
        ('{"path": "img/0.png", "label": null}', "label is empty"),
        ('{"path": "img/0.png"}', "label is empty"),
        ('{"path": "img/0.png", "label": ' + 5000 * "7" + "}", "not valid JSON: Exceeds the limit"),
        ('{"path": "img/0.png", "label": ' + 4000 * "7" + "}", "label has 4,000 characters"),
        ('{"path": "img/0.png", "label": "\\ud800"}', "label is not valid text"),
        ('{"path": "\\ud800.png", "label": "a"}', r"no file can have this name: '\\ud800\.png'"),
        ('{"path": "a\\u0000b.png", "label": "a"}', "no file can have this name"),
        (100_000 * "[", "JSON nested too deeply"),
        ('{"a":' * 100_000, "JSON nested too deeply"),
        ('{"path": "img/0.png", "label": "b", "split": "val"}', "split is given here, but not in the first line"),
        ("[1, 2]", "expected a JSON object"),
    ],
)
def test_damaged_json_lines_name_the_line(table, line, message):
    with pytest.raises(FormatError, match=f"a.jsonl, line 3: {message}"):
        read_table(table(f'{{"path": "img/0.png", "label": "a"}}\n\n{line}\n', "a.jsonl"))


@pytest.mark.parametrize("ending", ["csv", "jsonl"])
@pytest.mark.parametrize(
    "label", ["['hor', 'x']", "['hor']", '["hor", "ver"]', "[]", "[ ]", "[1, 0]", "[0. 1.]", "{'a': 1}", "('a', 'b')"]
)
def test_a_list_written_as_text_is_no_label(table, ending, label):
    quoted = label.replace('"', '""')
    csv = f'path,label\nimg/0.png,a\nimg/1.png,"{quoted}"\n'
    rows = "".join(json.dumps({"path": "img/0.png", "label": name}) + "\n" for name in ("a", "b", label))
    with pytest.raises(FormatError, match="line 3: label is written as a list: ") as caught:
        read_table(table(csv if ending == "csv" else rows, f"a.{ending}"))
    assert caught.value.hint == "for several labels an image, call the column labels and write cat|dog"


@pytest.mark.parametrize("label", ["[a]", "(1)", "{x}", "[2024] set [b]", "f(x)", "'quoted'", "[1] first"])
def test_a_label_may_have_brackets(table, label):
    assert label in read_table(table(f'path,label\nimg/0.png,a\nimg/1.png,"{label}"\n')).unsplit.class_names


@pytest.mark.parametrize(
    ("row", "hint"),
    [
        ({"path": ["img/0.png"], "label": "a"}, "each row names one image file"),
        ({"path": "img/0.png", "label": ["a"]}, "for several labels an image, call the column labels"),
        ({"path": "img/0.png", "label": "a", "split": ["train"]}, ""),
    ],
)
def test_a_list_gets_the_hint_of_its_column(table, row, hint):
    with pytest.raises(FormatError, match=r"line 1: \w+ must be text or a number, got a list") as caught:
        read_table(table(json.dumps(row) + "\n", "a.jsonl"))
    assert (caught.value.hint or "").startswith(hint)
    assert bool(caught.value.hint) == bool(hint)


@pytest.mark.parametrize(
    ("separator", "hint"),
    [
        (",", 'text that contains a comma needs quotes around it, such as "a, b"'),
        ("\t", "text that contains a tab needs quotes around it"),
    ],
)
def test_too_many_cells_get_a_hint_for_their_separator(table, separator, hint):
    text = "path,label\nimg/0.png,a,b\n".replace(",", separator)
    with pytest.raises(FormatError, match="line 2: 3 cells") as caught:
        read_table(table(text))
    assert caught.value.hint == hint


def test_one_list_of_all_is_not_json_lines(table):
    with pytest.raises(FormatError, match="line 1: not valid JSON") as caught:
        read_table(table('[\n{"path": "img/0.png", "label": 1}\n]\n', "a.jsonl"))
    assert caught.value.hint == "JSON lines hold one object per line, not one list of all"


def test_lines_rows_and_files_are_bounded(table, monkeypatch):
    path = table("path,label\n" + 3 * "img/0.png,a\n")
    monkeypatch.setattr(records, "MOST_CHARACTERS", 12)
    assert len(read_table(path).unsplit) == 3
    monkeypatch.setattr(records, "MOST_CHARACTERS", 11)
    with pytest.raises(FormatError, match="line 2: more than 11 characters in a line"):
        read_table(path)
    monkeypatch.setattr(records, "MOST_CHARACTERS", 100)
    monkeypatch.setattr(records, "MOST_ROWS", 2)
    with pytest.raises(FormatError, match="line 4: more than 2 rows"):
        read_table(path)
    monkeypatch.setattr(records, "MOST_BYTES", 10)
    with pytest.raises(FormatError, match="cannot be read: it holds 47 bytes, at most 10 are read"):
        read_table(path)


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl"])
def test_what_is_no_file_is_not_waited_for(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(FormatError, match="cannot be read: it is a fifo, not a file"):
        read_table(tmp_path / name)
    (tmp_path / name).unlink()
    (tmp_path / name).symlink_to("/dev/zero")
    with pytest.raises(FormatError, match="cannot be read: it is a device, not a file"):
        read_table(tmp_path / name)
