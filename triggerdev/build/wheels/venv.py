"""The virtual environment that the wheels go to, on the interpreter that the image has."""

import posixpath

from triggerdev.build.oci.members import Member, link, text
from triggerdev.build.wheels.normalise import VENV


def members(python: str, interpreter: str) -> list[Member]:
    """Give what makes a folder a virtual environment; `interpreter` is its absolute path in the image."""
    config = (
        f"home = {posixpath.dirname(interpreter)}\ninclude-system-site-packages = false\nversion = {python}\n"
    )
    return [
        text(f"{VENV}/pyvenv.cfg", config),
        link(f"{VENV}/bin/python", interpreter),
        link(f"{VENV}/bin/python3", "python"),
        link(f"{VENV}/bin/python{python}", "python"),
    ]
