"""What may enter a Containerfile or a path: every check and every quoting, in one place.

Two rules hold everywhere: a value that must be a plain token (a package, a reference, a name) is matched as a
whole against a grammar that knows no white space and no leading "-", and free text (commands) only travels
inside a JSON string, which cannot hold a line break.
"""

import json
import re
from collections.abc import Sequence

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
"""Also what turns the direction of text, behind which a name looks like another one."""
_WORD = re.compile(r"[A-Za-z0-9_./:@+=-]+")
_LAYER_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}")
_ENVIRONMENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,254}")
_APT = re.compile(r"([a-z0-9][a-z0-9+.-]*[a-z0-9+])(:[a-z0-9][a-z0-9-]*)?(=[A-Za-z0-9][A-Za-z0-9.+:~-]*)?")
_REQUIREMENT = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?(?:\s*[\[(<>=!~;@].*)?")
_REQUIREMENT_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_HOST = rf"(?:{_LABEL}(?:\.{_LABEL})*(?::\d{{1,5}})?/)?"
_PART = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_TAG = r"(?::[A-Za-z0-9_][A-Za-z0-9_.-]{0,127})?(?:@sha256:[0-9a-f]{64})?"
_REFERENCE = re.compile(rf"{_HOST}{_PART}(?:/{_PART})*{_TAG}")
_KEYWORDS = ("RUN", "ENV", "ARG", "ADD", "COPY", "WORKDIR", "USER", "LABEL", "VOLUME", "EXPOSE", "STOPSIGNAL")
_INSTRUCTION = re.compile(rf"({'|'.join(_KEYWORDS)})[ \t]+(\S.*)", re.IGNORECASE)


def is_layer_id(text: str) -> bool:
    """Tell whether text can be a layer's id: letters, digits, "_", "." and "-", at most 64 characters."""
    return _LAYER_ID.fullmatch(text) is not None


def is_word(text: str) -> bool:
    """Tell whether text is one word that no builder and no shell reads as anything else."""
    return _WORD.fullmatch(text) is not None


def is_environment(text: str) -> bool:
    """Tell whether text can be an environment's name; it becomes the name of a folder."""
    return _ENVIRONMENT.fullmatch(text) is not None


def is_variable(text: str) -> bool:
    """Tell whether text can be the name of an environment variable."""
    return _VARIABLE.fullmatch(text) is not None


def is_image_reference(text: str) -> bool:
    """Tell whether text is an image reference: [host[:port]/]path[:tag][@sha256:digest]."""
    return len(text) <= 512 and _REFERENCE.fullmatch(text) is not None


def is_requirement(text: str) -> bool:
    """Tell whether text can be a line of a requirements file that names a package (pip's options cannot)."""
    return not has_control(text) and _REQUIREMENT.fullmatch(text) is not None


def requirement_name(text: str) -> str:
    """Give the normalised distribution name that a requirement starts with; empty if there is none."""
    match = _REQUIREMENT_NAME.match(text.strip())
    return normalise_distribution(match[0]) if match else ""


def normalise_distribution(name: str) -> str:
    """Give a distribution's name in the form in which names are compared (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def split_apt(text: str) -> tuple[str, str | None] | None:
    """Split "name[:architecture][=version]"; None if apt could read it as anything else."""
    match = _APT.fullmatch(text)
    if match is None:
        return None
    return match[1] + (match[2] or ""), match[3][1:] if match[3] else None


def instruction_problem(text: str) -> str | None:
    """Say why a line cannot be a raw image instruction of its own; None if it can."""
    if has_control(text.replace("\t", " ")):
        return "it holds a line break or a control character"
    match = _INSTRUCTION.fullmatch(text.strip())
    if match is None:
        return f"it must be one of {', '.join(_KEYWORDS)}"
    if match[2].endswith(("\\", "`")):
        return "it ends with an escape character, which would join the next line to it"
    if "<<" in match[2]:
        return "it holds '<<', which would read the following lines as a here-document"
    return None


def has_control(text: str) -> bool:
    """Tell whether text holds a line break, another control character or half a surrogate pair."""
    return _CONTROL.search(text) is not None


def printable(text: str) -> str:
    """Give text for a terminal: control characters become visible escapes."""
    return _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


def exec_form(words: Sequence[str]) -> str:
    """Write words as the JSON array of an exec-form instruction; pure ASCII, so always one line.

    Raises ValueError for a NUL, which no program can get as an argument.
    """
    if any("\0" in word for word in words):
        raise ValueError("a command cannot hold a NUL character")
    return json.dumps(list(words), ensure_ascii=True)


def quoted(value: str) -> str:
    """Write a value between double quotes for an ENV or ARG instruction, where "$" must not be expanded.

    Raises ValueError for control characters.
    """
    if has_control(value):
        raise ValueError("a value in an instruction cannot hold a line break or a control character")
    return '"' + re.sub(r'(["\\$])', r"\\\1", value) + '"'


def checked_reference(text: str) -> str:
    """Give an image reference back; raises ValueError if it is none."""
    if not is_image_reference(text):
        raise ValueError(f"{text!r} is no image reference")
    return text


def checked_id(text: str) -> str:
    """Give a layer's id (or the id of a part, "id:part") back; raises ValueError if it is none."""
    if not all(is_layer_id(part) for part in text.split(":", 1)):
        raise ValueError(f"{text!r} is no layer id")
    return text
