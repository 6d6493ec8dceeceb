import pytest

from neocog.errors import FormatError
from neocog.model.json_values import parse_json


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "not valid JSON"),
        (b"[1]", "must be a JSON object, got list"),
        (b'{"a": NaN}', "NaN is not JSON"),
        (b'{"a": -Infinity}', "-Infinity is not JSON"),
        (b'{"a": 1, "a": 2}', "'a' occurs twice"),
        (b'{"a": ' + b"[" * 100_000, "nested too deep"),
        (b'{"a": ' + b"1" * 10_000 + b"}", "not valid JSON"),
        (b"\xff\xfe", "not valid JSON"),
    ],
)
def test_json_is_read_strictly(text, message):
    with pytest.raises(FormatError, match=f"here is.*{message}|here {message}"):
        parse_json(text, "here")
