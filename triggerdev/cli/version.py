"""`trigger version`."""

import platform
import sys

from triggerdev._version import __version__
from triggerdev.cli import options
from triggerdev.cli.output import Output


def version(json: options.Json = False) -> None:
    """Print the version of trigger and of the Python that runs it."""
    out = Output(json)
    out.line(f"trigger {__version__} (Python {platform.python_version()}, {sys.executable})")
    out.result({"version": __version__, "python": platform.python_version(), "executable": sys.executable})
