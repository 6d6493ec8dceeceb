"""Builds the explaining page (web/) into the package, so that users never need Node.

Where Node is missing, or the page cannot be built, the package is made without it: everything works but the page, and
`neocog explain` says what to do.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCES = ("index.html", "package.json", "package-lock.json", "vite.config.ts", "src")
COMMANDS = (("npm", "ci", "--no-audit", "--no-fund"), ("npm", "run", "build"))


class PageBuildHook(BuildHookInterface):
    """Runs before a wheel is made."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        web = Path(self.root, "web")
        built = Path(self.root, "src", "neocog", "app", "page", "static", "report.js")  # the last one that is built
        if not web.is_dir() or _is_fresh(web, built) or _is_released(Path(self.root), built):
            return
        if shutil.which("npm") is None:
            self.app.display_warning("Node.js is not here: neocog is installed without its page")
            return
        for command in COMMANDS:
            done = subprocess.run(command, cwd=web, capture_output=True, text=True, check=False)
            if done.returncode:
                reason = (done.stderr or done.stdout).strip()[-1000:]
                self.app.display_warning(f"{' '.join(command)} failed: neocog is installed without its page\n{reason}")
                return


def _is_released(root: Path, built: Path) -> bool:
    """Whether this is an sdist with the page inside, whose files are as old as whatever unpacked it has made them."""
    return built.is_file() and (root / "PKG-INFO").is_file()


def _is_fresh(web: Path, built: Path) -> bool:
    """Whether the page was built after all that it is built from."""
    if not built.is_file():
        return False
    made = built.stat().st_mtime
    files = [file for name in SOURCES for file in (web / name, *(web / name).rglob("*")) if file.is_file()]
    return all(file.stat().st_mtime <= made for file in files)
