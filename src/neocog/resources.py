"""What this process may use: processors, memory, and a folder to cache in."""

from __future__ import annotations
