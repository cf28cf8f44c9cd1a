"""Number of processes that a step may use."""

import os


def num_cores() -> int:
    """Cores for this process: those it may run on, at most $MIAD_CORES, which the rules set to their threads."""
    if hasattr(os, "sched_getaffinity"):
        available = len(os.sched_getaffinity(0))
    else:  # macOS
        available = os.cpu_count() or 1
    given = os.environ.get("MIAD_CORES", "")
    return min(available, int(given)) if given.isdigit() and int(given) > 0 else available
