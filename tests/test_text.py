"""What acts on a terminal is escaped, and nothing else."""

from __future__ import annotations

import os
import sys
import unicodedata

import pytest

from neocog.errors import DataError
from neocog.text import printable


def test_no_control_character_and_no_bidirectional_mark_is_left() -> None:
    everything = "".join(map(chr, range(sys.maxunicode + 1)))
    left = printable(everything)
    assert not {c for c in left if unicodedata.category(c) in ("Cc", "Zl", "Zp", "Cs")}
    assert not {c for c in left if unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "PDF")}
    assert not {c for c in left if unicodedata.bidirectional(c) in ("LRI", "RLI", "FSI", "PDI")}


@pytest.mark.parametrize("text", ["a b.png", "猫", "👩‍🔬 🦓", "naïve", "עברית", "back\\slash"])
def test_what_is_only_seen_stays(text: str) -> None:
    assert printable(text) == text


def test_escapes_are_those_of_python_and_are_not_escaped_again() -> None:
    assert printable("a\nb\u202ec\x9b") == "a\\nb\\u202ec\\x9b"
    assert printable(printable("a\nb")) == "a\\nb"


def test_bytes_of_names_that_are_not_utf8_are_shown_as_bytes() -> None:
    # They were left as they are once, but a terminal would get the byte itself: 0x9b begins a command as ESC [ does.
    assert printable(os.fsdecode(b"raw\x9b2J\xff.png")) == "raw\\x9b2J\\xff.png"
    assert printable("\ud800 \udc7f \udfff") == "\\ud800 \\udc7f \\udfff"  # stand for no byte
    assert DataError("raw\udc9b2J").message == "raw\\x9b2J"


def test_programs_get_the_bytes_of_a_name_and_still_one_line() -> None:
    name = os.fsdecode(b"raw\x9b2J\n\x1b.png")
    assert os.fsencode(printable(name, keep_bytes=True)) == b"raw\x9b2J\\n\\x1b.png"


def test_no_error_can_fake_a_line_or_speak_to_the_terminal() -> None:
    error = DataError("a\nerror: b", details=("c\x1b[2J",), hint="d\u202e")
    assert str(error) == "a\\nerror: b\n  c\\x1b[2J\n  hint: d\\u202e"
    assert error.args == ("a\\nerror: b",)
