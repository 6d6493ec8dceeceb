"""Whether what lies in a folder can only come from this user, or from root.

Compiled objects run as whoever loads them, so nobody else may have had a hand in them. That is so where the folder
belongs to this user or to root and nobody else may write to it, and where nobody else may put another folder in its
place. So the folders above it, those that symbolic links on the way lead through, and these links belong to this user
or to root as well: whoever owns a folder may rename what lies in it, or let others, and whoever owns a link may turn it
elsewhere. And others may write to these folders only as to /tmp, where each may move what is their own (the sticky
bit).

Group members are others, but for root's group and for a group of the user's own (as many systems make one for each
user, and let its members, nobody else, write).
"""

from __future__ import annotations

import errno
import os
import stat
from functools import cache
from pathlib import Path

from neocog.system import user

MOST_LINKS = 40  # as Linux has it; more are a circle


def distrust(folder: Path, *, to_be: bool = False) -> str | None:
    """Say why somebody else may have put there what lies in a folder; None: nobody else can have.

    Arguments:
        folder: the folder.
        to_be: whether what counts is a folder that this user would make in it: nobody else can touch that where
            each may move what is their own alone, as in /tmp.

    Raises:
        OSError: there is no such folder, or it cannot be looked at.
    """
    if user() is None:
        return None
    start, links = folder.absolute(), 0
    place, ahead = Path(start.anchor), list(reversed(start.parts[1:]))
    reason = _doubt(place, place.lstat())
    while ahead and reason is None:
        name = ahead.pop()
        if name == "..":
            place = place.parent
            continue
        status = (place / name).lstat()
        reason = _doubt(place / name, status)
        if stat.S_ISLNK(status.st_mode):
            links += 1
            if links > MOST_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(folder))
            target = (place / name).readlink()
            place = Path(target.anchor) if target.is_absolute() else place
            ahead += reversed(target.parts[1:] if target.is_absolute() else target.parts)
            continue
        place /= name
    if reason is None and not to_be and _open_to_others(place.lstat()):
        return f"{place} may be written by others"
    return reason


def is_trusted(status: os.stat_result) -> bool:
    """Whether a file or folder belongs to this user or root, and nobody else may write to it."""
    return user() is None or (belongs_here(status) and not _open_to_others(status))


def belongs_here(status: os.stat_result) -> bool:
    """Whether a file or folder belongs to this user or root."""
    return status.st_uid in (user(), 0)


def _doubt(place: Path, status: os.stat_result) -> str | None:
    """Say why somebody else may have put there what lies below a folder, or where a link leads."""
    if not belongs_here(status):
        return f"{place} belongs to somebody else"
    if stat.S_ISLNK(status.st_mode) or status.st_mode & stat.S_ISVTX or not _open_to_others(status):
        return None  # the mode of a link means nothing
    return f"{place} may be written by others"


def _open_to_others(status: os.stat_result) -> bool:
    mode = status.st_mode
    return bool(mode & stat.S_IWOTH or (mode & stat.S_IWGRP and not _own_group(status.st_gid, user() or 0)))


@cache
def _own_group(group: int, user: int) -> bool:
    """Whether a group is root's, or has the user's name and no other member."""
    if group == 0:
        return True
    import grp  # here, since neither is on every system, and most folders are closed to groups
    import pwd

    try:
        name, found = pwd.getpwuid(user).pw_name, grp.getgrgid(group)
    except KeyError:
        return False
    return found.gr_name == name and not set(found.gr_mem) - {name}
