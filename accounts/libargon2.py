"""Argon2's reference library, for this server's own hashes, where the operator names one (RFC 9106); else libsodium computes them.

Each hash of libsodium's has its memory mapped, zeroed and unmapped by the kernel, a third of its CPU. Here it is kept for the next one.
"""

import ctypes
import logging
import mmap
from collections import deque
from contextlib import suppress
from functools import cache

from django.conf import settings
from nacl import pwhash

from accounts import hash_slots

VERSION = 0x13  # the only one of RFC 9106, which writes it in decimal: v=19
_ARGON2ID = 2
_VECTOR = bytes.fromhex("0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659")  # §5.3
_ALLOCATE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_void_p), ctypes.c_size_t)
_FREE = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t)

logger = logging.getLogger(__name__)


class Unproven(SystemExit):
    """What was named is no Argon2, or computes other hashes, or leaves behind what it computed with: whoever would hash by it ends."""

    def __init__(self, reason: str) -> None:
        super().__init__(
            f"authserver: AUTH_SERVICE__LIBARGON2 names {settings.LIBARGON2}, but {reason}. "
            "Build it with deploy/build_argon2.py, or take the setting away."
        )
        self.reason = reason


class _Context(ctypes.Structure):
    """argon2_context of argon2.h (ABI 1)."""

    _fields_ = (
        ("out", ctypes.c_char_p),
        ("outlen", ctypes.c_uint32),
        ("pwd", ctypes.c_char_p),
        ("pwdlen", ctypes.c_uint32),
        ("salt", ctypes.c_char_p),
        ("saltlen", ctypes.c_uint32),
        ("secret", ctypes.c_char_p),
        ("secretlen", ctypes.c_uint32),
        ("ad", ctypes.c_char_p),
        ("adlen", ctypes.c_uint32),
        ("t_cost", ctypes.c_uint32),
        ("m_cost", ctypes.c_uint32),
        ("lanes", ctypes.c_uint32),
        ("threads", ctypes.c_uint32),
        ("version", ctypes.c_uint32),
        ("allocate_cbk", _ALLOCATE),
        ("free_cbk", _FREE),
        ("flags", ctypes.c_uint32),
    )


class Memory:
    """The memory of one hash at a time, in large pages where the kernel gives them to who asks. It goes with its last reference."""

    def __init__(self, kib: int) -> None:
        self.kib = kib
        # SECURITY: private: what is mapped before processes part stays each one's own.
        self.mapped = mmap.mmap(-1, kib * 1024, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if hasattr(mmap, "MADV_HUGEPAGE"):
            with suppress(OSError):  # a kernel without them
                self.mapped.madvise(mmap.MADV_HUGEPAGE)
        size, address = kib * 1024, ctypes.addressof(ctypes.c_char.from_buffer(self.mapped))

        def allocate(place: "ctypes._Pointer[ctypes.c_void_p]", wanted: int) -> int:
            if wanted <= size:  # or the place stays empty, which the library tells as an error
                place[0] = address
            return 0

        self.allocate = _ALLOCATE(allocate)
        self.free = _FREE(lambda place, size: None)


class Library:
    """Loaded and proved. Raises OSError when this machine cannot load it, and Unproven."""

    def __init__(self, name: str) -> None:
        self.name = name
        try:
            self._argon2_ctx = ctypes.CDLL(name).argon2_ctx
        except AttributeError:
            raise Unproven("it has no argon2_ctx") from None
        self._argon2_ctx.argtypes = (ctypes.POINTER(_Context), ctypes.c_int)
        self._argon2_ctx.restype = ctypes.c_int
        # One for each hash that may be under way. Threads take and give by single operations, and what is too much goes back to the kernel.
        self._kept: deque[Memory] = deque(maxlen=hash_slots.slots.slots)
        try:
            self._prove()
        except RuntimeError as error:
            raise Unproven(str(error)) from None

    def argon2id(self, password: bytes, salt: bytes, *, memory_kib: int, passes: int, length: int) -> bytes:
        """The tag, of `length` bytes, with one lane. Other threads run meanwhile."""
        memory = self._take(memory_kib)
        tag = self._tag(password, salt, memory=memory, memory_kib=memory_kib, passes=passes, length=length)
        self._kept.append(memory)
        return tag

    def _take(self, kib: int) -> Memory:
        with suppress(IndexError):
            memory = self._kept.pop()
            if memory.kib == kib:
                return memory
        return Memory(kib)

    def _tag(
        self,
        password: bytes,
        salt: bytes,
        *,
        memory: Memory,
        memory_kib: int,
        passes: int,
        length: int,
        lanes: int = 1,
        secret: bytes = b"",
        data: bytes = b"",
    ) -> bytes:
        out = ctypes.create_string_buffer(length)
        inputs = (part for each in (password, salt, secret, data) for part in (each, len(each)))
        context = _Context(
            ctypes.cast(out, ctypes.c_char_p), length, *inputs, passes, memory_kib, lanes, 1, VERSION, memory.allocate, memory.free, 0
        )
        error = self._argon2_ctx(context, _ARGON2ID)
        if error:
            raise RuntimeError(f"argon2_ctx gave {error}")
        return out.raw

    def _prove(self) -> None:
        """By the test vector of RFC 9106 §5.3, and beside libsodium by a small hash of our own form; two milliseconds in all."""
        memory = Memory(1024)
        inputs = {"secret": b"\3" * 8, "data": b"\4" * 12}
        vector = self._tag(b"\1" * 32, b"\2" * 16, **inputs, memory=memory, memory_kib=32, passes=3, length=32, lanes=4)
        own = self._tag(b"password", b"\2" * 16, memory=memory, memory_kib=memory.kib, passes=2, length=32)
        of_libsodium = pwhash.argon2id.kdf(32, b"password", b"\2" * 16, opslimit=2, memlimit=memory.kib * 1024)
        # SECURITY: another tag for the same password would keep everybody out.
        if (vector, own) != (_VECTOR, of_libsodium):
            raise Unproven("it computes other hashes than RFC 9106")
        # SECURITY: what a password was hashed with is wiped, for the memory is kept.
        if memory.mapped[:] != bytes(memory.kib * 1024):
            raise Unproven("it leaves behind what it has computed with")


@cache
def named() -> Library | None:
    """The library of AUTH_SERVICE__LIBARGON2, loaded once; None where none is named, or this machine cannot load it. Raises Unproven."""
    if not settings.LIBARGON2:
        return None
    try:
        return Library(settings.LIBARGON2)
    except OSError as error:
        logger.warning(
            "AUTH_SERVICE__LIBARGON2 cannot be loaded, and libsodium computes the password hashes: build it for this processor "
            "(docs/operations.md, A faster Argon2), or take the setting away",
            extra={"reason": str(error)},
        )
        return None
