"""Memory of a training kept by the process."""

import ctypes
import os

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3  # of <malloc.h>
LARGEST = 1 << 25  # bytes; glibc takes no larger threshold for memory that is mapped on its own


def keep_memory() -> bool:
    """Have glibc keep what a step frees for the next step, instead of returning it to the system.

    A step frees all that it allocated, and new pages cost a tenth of its time on a CPU (benchmarks/memory.py). Settings
    of the environment (MALLOC_TRIM_THRESHOLD_, MALLOC_MMAP_THRESHOLD_) go first.

    Returns:
        Whether it will; False with another C library.
    """
    if {"MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_"} & set(os.environ):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    mallopt.argtypes, mallopt.restype = [ctypes.c_int, ctypes.c_int], ctypes.c_int
    return all([mallopt(M_MMAP_THRESHOLD, LARGEST), mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)])
