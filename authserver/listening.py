"""The end of listening: whoever has connected by then is served, and nobody connects while the socket is closed on them."""

import ctypes
import mmap
import socket
import struct
import sys
from contextlib import suppress
from typing import Any

HANDSHAKE_SECONDS = 0.02  # in which those connect who have begun to
_ATTACH_FILTER = 26  # SO_ATTACH_FILTER in asm-generic/socket.h; Python has no name for it
# Classic BPF over the TCP header (RFC 9293 §3.1): of its flags SYN without ACK is dropped, all else passes.
_NO_SYN = (
    (0x30, 0, 0, 13),  # load the byte of the flags
    (0x54, 0, 0, 0x12),  # keep SYN and ACK
    (0x15, 0, 1, 0x02),  # SYN alone?
    (0x06, 0, 0, 0),  # drop
    (0x06, 0, 0, 0xFFFFFFFF),  # pass
)
_ends = mmap.mmap(-1, 1)  # one for the master and all of its workers


def end() -> None:
    """By the master that stops, when nobody else has its sockets."""
    _ends[0] = 1


def ends() -> bool:
    return bool(_ends[0])


def let_nobody_in(listener: Any) -> None:
    """Those who are in stay. Who knocks from now on knocks again in a second, by then at a closed door, and asks another server.

    All processes that have the socket are under it.
    """
    if sys.platform != "linux" or listener.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    program = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in _NO_SYN))
    with suppress(OSError):  # where the kernel has no filters, it is as it was
        listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, struct.pack("HP", len(_NO_SYN), ctypes.addressof(program)))
