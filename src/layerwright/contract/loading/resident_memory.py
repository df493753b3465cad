"""How much memory a process has resident, where the system tells it."""

import os
import subprocess
import sys
from pathlib import Path

_PLATFORM = str(sys.platform)  # a plain text, so that type checkers read every branch


def resident_bytes(pid: int) -> int | None:
    """Return the resident memory of a process; None if it has gone, or on Windows."""
    try:
        if _PLATFORM == "linux":
            pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
            return pages * os.sysconf("SC_PAGE_SIZE")
        if _PLATFORM == "darwin":
            command = ["/bin/ps", "-o", "rss=", "-p", str(pid)]
            return 1024 * int(subprocess.check_output(command, timeout=5))  # noqa: S603 - no input
    except (OSError, ValueError, IndexError, subprocess.SubprocessError):
        return None
    return None
