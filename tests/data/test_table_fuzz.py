"""Arbitrary bytes as tables: they give a Source or an error of neocog's, and nothing else."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neocog.data.dataset import Source
from neocog.data.sources import read_source
from neocog.errors import NeocogError

bounded = settings(
    max_examples=150,
    deadline=None,  # a loaded machine is no finding
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)

text = st.one_of(
    st.text(max_size=12), st.sampled_from(["img/0.png", "a", "1", "1.0", "train", "", '"', "\0", "\ud800"])
)
header = st.lists(st.sampled_from(["path", "label", "split", "file_name", "class", "x", ""]), max_size=4)
value = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), text),
    lambda v: st.lists(v, max_size=2),
    max_leaves=3,
)
encoding = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "latin-1"])


@pytest.fixture
def reads(tmp_path, save_image):
    """Write bytes as a table beside an image, and read it in each way in which it is found."""
    save_image("img/0.png")

    def read(content, ending):
        for name in (f"labels.{ending}", f"metadata.{ending}"):
            (tmp_path / name).write_bytes(content)
        for place in (tmp_path / f"labels.{ending}", tmp_path):
            try:
                source = read_source(place)
            except NeocogError:
                continue
            assert isinstance(source, Source)
            parts = [source.unsplit, source.train, source.validation, source.test]
            assert sum(len(part) for part in parts if part is not None) > 0

    return read


@bounded
@given(content=st.binary(max_size=200), ending=st.sampled_from(["csv", "tsv", "jsonl"]))
def test_any_bytes(reads, content, ending):
    reads(content, ending)


@bounded
@given(
    names=header,
    rows=st.lists(st.lists(text, max_size=5), max_size=4),
    delimiter=st.sampled_from([",", ";", "\t", "|"]),
    end=st.sampled_from(["\n", "\r\n", "\r"]),
    encoding=encoding,
)
def test_almost_csv(reads, names, rows, delimiter, end, encoding):
    lines = end.join(delimiter.join(cells) for cells in [names, *rows])
    reads(lines.encode(encoding, errors="replace"), "csv")


@bounded
@given(
    rows=st.lists(st.dictionaries(st.sampled_from(["path", "label", "split", "x"]), value, max_size=4), max_size=4),
    junk=st.one_of(st.just(b""), st.binary(max_size=8)),
)
def test_almost_json_lines(reads, rows, junk):
    reads(b"\n".join(json.dumps(row).encode() for row in rows) + b"\n" + junk, "jsonl")
