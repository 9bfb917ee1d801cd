"""What Containerfiles an engine understands: tried one by one, since versions of frontends are not told."""

import tempfile
from collections.abc import Callable
from pathlib import Path

_CONTAINERFILES = {
    "secret_env": 'FROM scratch AS a\nRUN --mount=type=secret,id=a,env=A ["x"]\nFROM scratch\nCOPY a /\n',
    "heredocs": "FROM scratch\nCOPY <<EOF /a\na\nEOF\n",
    "copy_link": "FROM scratch\nCOPY --link a /\n",
}
"""Nothing is executed in them: a stage that nobody needs is read, and left out."""


def tried(builds: Callable[[Path], bool]) -> dict[str, bool]:
    """Tell for each feature whether a folder that needs it can be built."""
    found = {}
    with tempfile.TemporaryDirectory(prefix="trigger-probe-") as name:
        folder = Path(name)
        (folder / "a").write_text("a")
        for feature, text in _CONTAINERFILES.items():
            (folder / "Containerfile").write_text(text)
            found[feature] = builds(folder)
    return found
