"""What reports hold, read by tests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any


def facts_in(path: Path) -> dict[str, Any]:
    """Read what a report holds."""
    (text,) = re.findall(r'<script type="application/json" id="neocog-report">(.*?)</script>', path.read_text(), re.S)
    facts: dict[str, Any] = json.loads(text)
    return facts
