import pytest

from neocog.data.table import find_metadata, read_metadata, read_table
from neocog.errors import DataError, FormatError


@pytest.fixture
def images(save_image):
    for number in range(4):
        save_image(f"img/{number}.png", number)


@pytest.fixture
def table(tmp_path, images):
    def write(text, name="labels.csv", encoding="utf-8"):
        (tmp_path / name).write_text(text, encoding=encoding)
        return tmp_path / name

    return write


@pytest.mark.parametrize("path", ["path", "file_name", "file", "image", "filename", "Path"])
@pytest.mark.parametrize("label", ["label", "class", "target", " LABEL "])
def test_every_column_name_is_known(table, path, label):
    data = read_table(table(f"{path},{label}\nimg/0.png,dog\nimg/1.png,cat\n")).unsplit
    assert data.class_names == ("cat", "dog")
    assert data.labels.tolist() == [1, 0]
    assert data.identifiers == ["img/0.png", "img/1.png"]
    assert data.facts(0).height == 8


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


def test_numbers_are_sorted_as_numbers(table):
    rows = "".join(f"img/{i % 4}.png,{i}\n" for i in (10, 9, 2))
    assert read_table(table("path,label\n" + rows)).unsplit.class_names == ("2", "9", "10")


def test_json_lines_are_read(table):
    text = '{"file_name": "img/0.png", "label": 3}\n\n{"file_name": "img/1.png", "label": "x"}\n'
    assert read_table(table(text, "labels.jsonl")).unsplit.class_names == ("3", "x")


def test_metadata_inside_a_folder(tmp_path, table):
    assert find_metadata(tmp_path) == {}
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
        ("path,label\nimg/0.png\n", "line 2: label is empty"),
        ("path,label\n,a\n", "line 2: path is empty"),
        ("path,label,split\nimg/0.png,a,trial\n", "line 2: split needs one of train, .* got 'trial'"),
    ],
)
def test_damaged_tables_name_the_line(table, text, message):
    with pytest.raises(FormatError, match=message) as caught:
        read_table(table(text))
    assert "labels.csv" in caught.value.message


def test_other_damage_is_named(tmp_path, table):
    with pytest.raises(FormatError, match="line 2: no UTF-8 text"):
        read_table(table("path,label\nimg/0.png,\xe4\n", encoding="latin-1"))
    with pytest.raises(FormatError, match="line 2: no JSON"):
        read_table(table('{"path": "img/0.png", "label": 1}\n{"path":\n', "a.jsonl"))
    with pytest.raises(FormatError, match=r"line 1: a JSON object was needed, got \[1, 2\]"):
        read_table(table("[1, 2]\n", "a.jsonl"))
    with pytest.raises(FormatError, match="cannot be read: No such file"):
        read_table(tmp_path / "gone.csv")


def test_a_table_whose_files_are_elsewhere_is_an_error(table):
    with pytest.raises(DataError, match=r"none of its 2 files is there, the first is .*x/0\.png") as caught:
        read_table(table("path,label\nx/0.png,a\nx/1.png,b\n"))
    assert "relative to the table" in caught.value.hint
