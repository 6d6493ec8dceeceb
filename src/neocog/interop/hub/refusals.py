"""What a hub, the network or the disk say no with, in this house's words: what went wrong, with what, what to do.

No message holds a token, whatever a library or a server puts into its own.
"""

from __future__ import annotations

import contextlib
import difflib
import errno
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from neocog.errors import NeocogError
from neocog.interop.hub.repository import Repository
from neocog.reading import cause_of

ALIKE = 0.6  # of 1, from which on a name is taken for a slip of another
FOUND = 50  # names that are compared
FULL = (errno.ENOSPC, errno.EDQUOT)
HIDDEN = "(the token)"
FETCHED, WRITTEN = "fetched", "written"
"""What is done with a repository, in messages."""


@contextlib.contextmanager
def told(hub: ModuleType, place: Repository, doing: str) -> Iterator[None]:
    """Make NeocogErrors of all that goes wrong inside.

    Arguments:
        hub: huggingface_hub.
        place: what it is about.
        doing: what is being done with it: FETCHED or WRITTEN.
    """
    try:
        yield
    except NeocogError:
        raise
    except Exception as error:  # whatever the library, its transport or the disk say
        raise refusal(hub, place, error, doing) from None


def refusal(hub: ModuleType, place: Repository, error: Exception, doing: str) -> NeocogError:
    """Return what to say of an error of huggingface_hub's."""
    errors, endpoint = hub.errors, hub.constants.ENDPOINT
    if isinstance(error, errors.OfflineModeIsEnabled):
        return NeocogError(f"{place} cannot be {doing}: HF_HUB_OFFLINE is set", hint="unset it to reach the hub")
    if isinstance(error, errors.LocalEntryNotFoundError):
        cause = error.__cause__
        if isinstance(cause, Exception) and not isinstance(cause, errors.OfflineModeIsEnabled):
            return refusal(hub, place, cause, doing)
        return NeocogError(
            f"{place} is not in the cache, and HF_HUB_OFFLINE is set",
            hint=f"unset it once to fetch the model; the cache is {hub.constants.HF_HUB_CACHE} (HF_HUB_CACHE)",
        )
    if isinstance(error, errors.GatedRepoError):
        return NeocogError(
            f"{place} is gated: its owner says who may have it",
            hint=f"ask at {endpoint}/{place.name}, then set HF_TOKEN to a token of your account",
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return _missing(hub, place)
    if isinstance(error, errors.RevisionNotFoundError):
        return NeocogError(f"{place.name} has no revision {place.revision!r}")
    if isinstance(error, errors.HfHubHTTPError):
        return _status(hub, place, error, doing)
    if is_transport(error):
        without = "; what is in the cache is used without it (HF_HUB_OFFLINE=1)" if doing == FETCHED else ""
        return NeocogError(
            f"{place} cannot be {doing}: the hub at {endpoint} does not answer: {_line(hub, error)}",
            hint=f"check the network and HF_ENDPOINT{without}",
        )
    if isinstance(error, OSError) and error.errno is not None:
        where = error.filename if isinstance(error.filename, str) else hub.constants.HF_HUB_CACHE
        reason = "the disk is full" if error.errno in FULL else cause_of(error)
        hint = "free some space, or" if error.errno in FULL else "to"
        return NeocogError(
            f"{place} cannot be {doing}: {where}: {reason}", hint=f"{hint} keep it elsewhere set HF_HUB_CACHE"
        )
    return NeocogError(f"{place} cannot be {doing}: {_line(hub, error)}")


def is_transport(error: Exception) -> bool:
    """Tell whether nobody answered: no network, no such host, no patience left."""
    return type(error).__module__.partition(".")[0].startswith("httpx")


def is_away(error: Exception) -> bool:
    """Tell whether a hub is away for now, so that what the cache has will do: nobody answers, or it is out of order."""
    status = getattr(getattr(error, "response", None), "status_code", 0)
    return is_transport(error) or int(status) >= 500


def _status(hub: ModuleType, place: Repository, error: Any, doing: str) -> NeocogError:
    status = int(error.response.status_code)
    said = "" if not error.server_message else f": {_hide(hub, str(error.server_message).splitlines()[0])}"
    hints = {
        401: "HF_TOKEN must be a valid token: make one at https://huggingface.co/settings/tokens",
        403: "the token in HF_TOKEN must be allowed to do this: see https://huggingface.co/settings/tokens",
        429: "wait a while, then try again; with HF_TOKEN set more is allowed",
        507: "there is no room left on the hub for this owner",
    }
    if status == 401 and hub.get_token() is None:
        hints[401] = "set HF_TOKEN to a token of your account: https://huggingface.co/settings/tokens"
    hint = hints.get(status, "try again later" if status >= 500 else None)
    return NeocogError(f"{place} cannot be {doing}: the hub answers {status}{said}", hint=hint)


def _missing(hub: ModuleType, place: Repository) -> NeocogError:
    near = alike(hub, place)
    hints = [f"did you mean {near}?"] if near is not None else []
    hints.append(
        "if it is private, set HF_TOKEN to a token of your account"
        if hub.get_token() is None
        else "if it is private, the token in HF_TOKEN must be allowed to read it"
    )
    return NeocogError(f"{hub.constants.ENDPOINT} has no model {place.name}", hint="; ".join(hints))


def alike(hub: ModuleType, place: Repository) -> str | None:
    """Return the name of a model on the hub that `place` most likely meant; None where the hub finds none."""
    owner, name = place.name.split("/")
    word = name.replace("-", "_").split(".")[0].split("_")[0]
    found: set[str] = set()
    with contextlib.suppress(Exception):  # it is for a hint: whatever goes wrong, there is none
        for search in ({"author": owner, "search": word}, {"search": name}):
            found |= {model.id for model in hub.HfApi().list_models(**search, limit=FOUND)}
    close = difflib.get_close_matches(place.name, sorted(found), n=1, cutoff=ALIKE)
    return close[0] if close else None


def _line(hub: ModuleType, error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return _hide(hub, f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__)


def _hide(hub: ModuleType, text: str) -> str:
    token = None
    with contextlib.suppress(Exception):
        token = hub.get_token()
    return text if not token else text.replace(token, HIDDEN)
