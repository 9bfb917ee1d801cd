"""One process to one folder: a lock that ends with its holder, however that ends."""

import fcntl
import os
from pathlib import Path
from typing import IO

from triggerdev import errors


def take(path: Path, what: str) -> IO[str]:
    """Lock a file until the handle is closed. Raises AlreadyRunningError that names the holder's pid."""
    handle = path.open("a+", encoding="utf-8")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        holder = handle.read().strip() or "unknown"
        handle.close()
        raise errors.AlreadyRunningError(
            f"Process {holder} already runs an engine on {what}. Stop it first."
        ) from None
    handle.truncate(0)
    handle.write(str(os.getpid()))
    handle.flush()
    return handle
