"""Let glibc keep the memory of large tensors instead of asking the kernel for it at every step."""

from __future__ import annotations

import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4  # malloc.h
_KEEP_BYTES = 2**31 - 1


def keep_freed_memory() -> bool:
    """Turn off mmap and trimming in glibc's malloc for this process; False where there is none.

    PyTorch frees and asks again for every activation on CPU. By default glibc returns blocks of
    that size to the kernel, and the next step pays for zeroed pages: up to 40 % of a step. The
    price is that memory once used stays with the process.
    """
    if not sys.platform.startswith("linux"):
        return False
    import ctypes

    try:
        libc = ctypes.CDLL(None)
        libc.gnu_get_libc_version  # noqa: B018 - absent in musl, whose mallopt means nothing
        mallopt = libc.mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = (ctypes.c_int, ctypes.c_int), ctypes.c_int
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEEP_BYTES))
