"""Where an image has its Python, and which C library."""

import hashlib
import posixpath
import re
from dataclasses import dataclass

from triggerdev import errors
from triggerdev.build.oci import contents
from triggerdev.build.oci.blobs import Blobs
from triggerdev.build.oci.model import Image
from triggerdev.build.oci.store import BlobStore

_MUSL = re.compile(r"(?:usr/)?lib/ld-musl-[a-z0-9_]+\.so\.1")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Interpreter:
    """The absolute path of a Python in an image, and whether its C library is musl."""

    path: str
    musl: bool


def find(image: Image, python: str, blobs: Blobs, store: BlobStore) -> Interpreter:
    """Find the first python3.x of an image's PATH.

    Reads the image's layers, unless that was done before or the image says that it is Python's own. Raises
    BuildError if there is none.
    """
    own = _official(image, python)
    if own:
        return own
    seen = "\n".join([_env(image).get("PATH", _PATH), *(layer.diff_id for layer in image.layers)])
    key = f"python{python}:{hashlib.sha256(seen.encode()).hexdigest()}"
    known = store.fact(key)
    if known is None:
        found = _search(image, python, blobs)
        known = {"path": found.path, "musl": found.musl}
        store.note(key, known)
    return Interpreter(str(known["path"]), bool(known["musl"]))


def _official(image: Image, python: str) -> Interpreter | None:
    """Know the images of Python itself, which have theirs in /usr/local."""
    env = _env(image)
    if not env.get("PYTHON_VERSION", "").startswith(f"{python}.") or "PYTHON_SHA256" not in env:
        return None
    made = " ".join(str(line.get("created_by")) for line in image.settings.get("history") or [])
    return Interpreter(f"/usr/local/bin/python{python}", "apk add" in made)


def _search(image: Image, python: str, blobs: Blobs) -> Interpreter:
    folders = [posixpath.normpath(folder) for folder in _env(image).get("PATH", _PATH).split(":") if folder]
    places = [f"{folder}/python{python}" for folder in folders if not folder.startswith("/opt/venv/")]
    wanted = {place.lstrip("/") for place in places}
    found = contents.find(image, blobs, lambda path: path in wanted or _MUSL.fullmatch(path) is not None)
    for place in places:
        if place.lstrip("/") in found:
            return Interpreter(place, any(_MUSL.fullmatch(path) for path in found))
    raise errors.BuildError(
        f"the base image has no python{python} in {':'.join(folders)}; set build.base_image to one that has, "
        "or runtime to the Python that it has"
    )


def _env(image: Image) -> dict[str, str]:
    lines = (image.settings.get("config") or {}).get("Env") or []
    return dict(line.split("=", 1) for line in lines if "=" in line)
