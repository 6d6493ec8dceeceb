"""huggingface_hub, which fetches files, keeps them in its cache, and goes on with what broke off.

What is checked: each file's content against the digest under which the cache keeps it, every time that it is used.
The hub names files by what is in them, large ones by SHA-256, small ones by git's SHA-1 of them; so a file that was
damaged on the way, on the disk or by somebody else is never read.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import warnings
from pathlib import Path
from types import ModuleType
from typing import Any

from neocog.errors import FormatError, NeocogError, NeocogWarning
from neocog.interop.hub.refusals import FETCHED, is_away, refusal, told
from neocog.interop.hub.repository import Repository
from neocog.interop.packages import require
from neocog.reading import TooLargeError, cause_of, open_file

CONFIG = "config.json"
WEIGHTS = "model.safetensors"
CARD = "README.md"
SECONDS = 10
"""For the hub's first answer."""

_CHUNK = 1 << 20
_SHA256, _SHA1 = re.compile("[0-9a-f]{64}"), re.compile("[0-9a-f]{40}")


def library() -> ModuleType:
    """Return huggingface_hub.

    Raises:
        NeocogError: it is not installed; the message says how to.
    """
    for part in ("constants", "errors", "utils"):  # attributes of it, once they are loaded
        _load(part)
    return require("huggingface_hub", "hub", "a model on a hub")


def cache_folder() -> Path | None:
    """Return where huggingface_hub keeps what it fetches; None where it is not installed, or cannot be loaded."""
    try:
        return Path(_load("constants").HF_HUB_CACHE)
    except NeocogError:
        return None


def _load(part: str) -> ModuleType:
    # read when it is loaded: with telemetry it would say which other packages there are
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    return require(f"huggingface_hub.{part}", "hub", "a model on a hub")


def names() -> dict[str, str]:
    """Return what requests say of who makes them: that it is neocog, of which version, and no more."""
    from neocog import __version__

    return {"library_name": "neocog", "library_version": __version__}


class LackingError(NeocogError):
    """A repository does not hold a file."""


class Checkout:
    """The files of a repository at one commit, fetched when they are asked for.

    Arguments:
        place: the repository.
        cached: whether the hub shall not be asked: what the cache has will do.
        quiet: whether no progress is shown; where stderr is no terminal, none is.

    Attributes:
        commit: 40 hexadecimal digits.
        cached: whether all comes from the cache, since the hub cannot be reached or shall not be.
        digests: name → SHA-256 of the files that `file` gave.

    Raises:
        NeocogError: there is no such repository, or none that may be read; or the hub cannot be reached, and the cache
            does not have it.
    """

    def __init__(self, place: Repository, *, cached: bool = False, quiet: bool = False) -> None:
        self.place, self._quiet, self._hub = place, quiet, library()
        self.cached = cached or bool(self._hub.is_offline_mode())
        self.commit = ""
        self.digests: dict[str, str] = {}
        unreached = None if self.cached else self._look()
        try:
            # by its revision, so that the cache knows later which commit was meant
            path = self._fetch(CONFIG, place.revision)
        except NeocogError as error:
            raise (unreached or error) from None
        if unreached is not None:
            warnings.warn(
                NeocogWarning(f"{unreached.message}; the copy in the cache is used", hint=unreached.hint), stacklevel=3
            )
        self.commit = path.parent.name

    def _look(self) -> NeocogError | None:
        """Ask the hub for the repository once, and briefly; return what to say where nobody answers."""
        hub = self._hub
        address = hub.hf_hub_url(self.place.name, CONFIG, revision=self.place.revision)
        try:
            hub.get_hf_file_metadata(address, timeout=SECONDS, **names())
        except hub.errors.EntryNotFoundError:
            raise self._lacking(CONFIG) from None
        except Exception as error:  # whatever the library and its transport say
            said = refusal(hub, self.place, error, FETCHED)
            if not is_away(error):
                raise said from None
            self.cached = True
            return said
        return None

    def file(self, name: str, most: int) -> Path:
        """Return where a file of the repository lies now, checked.

        Arguments:
            name: of the file.
            most: bytes that it may hold.

        Raises:
            NeocogError: there is no such file, it could not be fetched, or is damaged.
        """
        path = self._fetch(name, self.commit)
        self.digests[name] = check_digest(path, most)
        return path

    def optional(self, name: str, most: int) -> Path | None:
        """Return `file(name, most)`; None where the repository, or the cache that stands for it, holds none."""
        try:
            return self.file(name, most)
        except LackingError:
            return None

    def _fetch(self, name: str, revision: str) -> Path:
        hub = self._hub
        with told(hub, self.place, FETCHED):
            try:
                found = hub.hf_hub_download(
                    self.place.name,
                    name,
                    revision=revision,
                    local_files_only=self.cached,
                    tqdm_class=_hidden_bar(hub) if self._quiet or name != WEIGHTS else None,
                    **names(),
                )
            except hub.errors.LocalEntryNotFoundError:
                if self.cached and self.commit:
                    raise LackingError(f"the cache holds no {name} of {self.place}", hint="fetch it once") from None
                raise
            except hub.errors.EntryNotFoundError:
                raise self._lacking(name) from None
        return Path(found)

    def _lacking(self, name: str) -> LackingError:
        files: list[str] = []
        with contextlib.suppress(Exception):  # it is for a hint
            files = sorted(self._hub.HfApi().list_repo_files(self.place.name, revision=self.place.revision))
        details = (f"it holds {', '.join(files[:12])}{', ...' if len(files) > 12 else ''}",) if files else ()
        return LackingError(
            f"{self.place} holds no {name}",
            details=details,
            hint="neocog reads models of timm, and those that neocog push made: config.json and model.safetensors",
        )


def _hidden_bar(hub: ModuleType) -> Any:
    """Return a progress bar that shows nothing."""

    class Hidden(hub.utils.tqdm):  # type: ignore[name-defined,misc]
        def __init__(self, *arguments: object, **settings: Any) -> None:
            super().__init__(*arguments, **{**settings, "disable": True})

    return Hidden


def check_digest(path: Path, most: int) -> str:
    """Return the SHA-256 of a file in the cache, once its content is what its name in the cache says.

    Where the file system of the cache has no links, the cache keeps copies under plain names, and nothing is compared.

    Arguments:
        path: of the file, in a snapshot of the cache.
        most: bytes that it may hold.

    Raises:
        NeocogError: it cannot be read, holds more, or other bytes; then it is taken out of the cache.
    """
    sha256 = hashlib.sha256()
    sha1 = hashlib.sha1(usedforsecurity=False)
    try:
        with open_file(path, most) as file:
            size = os.fstat(file.fileno()).st_size
            sha1.update(b"blob %d\0" % size)
            while chunk := file.read(_CHUNK):
                sha256.update(chunk)
                sha1.update(chunk)
        said = path.readlink().name if path.is_symlink() else None
    except TooLargeError as error:
        raise FormatError(f"{path.name} is not what a model has: {error.strerror}") from None
    except OSError as error:
        raise NeocogError(f"{path} cannot be read: {cause_of(error)}") from None
    if said is None:
        return sha256.hexdigest()
    digest = sha256 if _SHA256.fullmatch(said) else sha1 if _SHA1.fullmatch(said) else None
    if digest is not None and digest.hexdigest() != said:
        _remove(path)
        raise FormatError(
            f"{path.name} is damaged: its digest is {digest.hexdigest()}, and should be {said}",
            hint="it was removed from the cache: try again to fetch it anew",
        )
    return sha256.hexdigest()


def _remove(path: Path) -> None:
    """Take a file out of the cache: the name in the snapshot, and what it leads to, as far as that is in the cache."""
    ends = [path]
    while ends[-1].is_symlink():
        ends.append(ends[-1].parent / ends[-1].readlink())
    cache = os.path.abspath(cache_folder() or path.parent)  # noqa: PTH100 - Path.resolve would follow links
    for entry in ends:
        with contextlib.suppress(OSError):
            if Path(os.path.abspath(entry)).is_relative_to(cache):  # noqa: PTH100
                entry.unlink()
