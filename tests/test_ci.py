"""What `.ci/run` takes for granted of the tests."""

import re
from pathlib import Path

TESTS = Path(__file__).parent
SCRIPT = TESTS.parent / ".ci" / "run"


def test_tests_that_read_public_data_are_found_by_the_mark_in_their_file():
    """`.ci/run` collects only these files: a mark that came from elsewhere would leave its tests out."""
    assert r"grep -rlE '\bmark\.data\b' tests --include='test_*.py'" in SCRIPT.read_text()
    others = [path for path in TESTS.rglob("*.py") if not path.name.startswith("test_")]
    assert [path.name for path in others if re.search(r"\bmark\.data\b|add_marker", path.read_text())] == []
