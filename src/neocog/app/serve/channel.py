"""How the process that accepts connections speaks to one that answers: single bytes, some with a connection.

to a worker     c  here is a connection (its descriptor comes along)
                l  read models whose files have changed
                t  take them, if they could be read
                d  answer what is under way, and end
                o  open the access log anew: its file was moved away
from a worker   r  ready: its models answer
                p  prepared: it has read what there was to read
"""

from __future__ import annotations

import os
import socket

CONNECTION, LOAD, TAKE, DRAIN, REOPEN = b"c", b"l", b"t", b"d", b"o"
READY, PREPARED = b"r", b"p"
AT_ONCE = 32  # messages that are read at a time


def send(channel: socket.socket, message: bytes, connection: socket.socket | None = None) -> bool:
    """Send a message; return whether there was somebody to take it."""
    try:
        if connection is None:
            channel.sendall(message)
        else:
            socket.send_fds(channel, [message], [connection.fileno()])
    except BlockingIOError:  # it has stopped reading
        return False
    except OSError:
        return False
    return True


def receive(channel: socket.socket) -> tuple[bytes, list[socket.socket]] | None:
    """Return the messages that have come, and the connections among them; None where the other side has ended."""
    try:
        messages, descriptors, _, _ = socket.recv_fds(channel, AT_ONCE, AT_ONCE)
    except BlockingIOError:
        return b"", []
    except OSError:
        return None
    if not messages:
        for descriptor in descriptors:
            os.close(descriptor)
        return None
    return messages, [socket.socket(fileno=descriptor) for descriptor in descriptors]
