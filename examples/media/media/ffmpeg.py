"""Calling ffmpeg and ffprobe."""

import json
import os
import subprocess
from collections.abc import Sequence
from typing import Any

SAMPLE_RATE = 16_000
FRAME = (160, 90)
_SECONDS = 600


class UnreadableMediaError(Exception):
    """ffmpeg cannot make anything of a file."""


def probe(path: str) -> dict[str, Any]:
    """Tell what a file holds: its length in seconds, and the kinds of its streams."""
    found = json.loads(
        _run("FFPROBE_PATH", "ffprobe", ["-show_format", "-show_streams", "-of", "json", path])
    )
    kinds = sorted(stream["codec_type"] for stream in found["streams"])
    return {"seconds": float(found["format"]["duration"]), "streams": kinds}


def sound(path: str) -> bytes:
    """Give a file's sound: one channel, 16 bits, 16 kHz."""
    form = ["-ac", "1", "-ar", str(SAMPLE_RATE), "-f", "s16le", "-"]
    return _run("FFMPEG_PATH", "ffmpeg", ["-i", path, "-vn", *form])


def frames(path: str, each_second: float) -> bytes:
    """Give small frames of a video, one after the other: grey, one byte for each pixel."""
    scale = f"fps={each_second},scale={FRAME[0]}:{FRAME[1]}"
    return _run(
        "FFMPEG_PATH", "ffmpeg", ["-i", path, "-an", "-vf", scale, "-pix_fmt", "gray", "-f", "rawvideo", "-"]
    )


def picture(path: str, at: float) -> bytes:
    """Give the frame at a second, as PNG."""
    form = ["-frames:v", "1", "-f", "image2pipe", "-c:v", "png", "-"]
    return _run("FFMPEG_PATH", "ffmpeg", ["-ss", str(at), "-i", path, *form])


def _run(variable: str, name: str, arguments: Sequence[str]) -> bytes:
    program = os.environ.get(variable, name)
    done = subprocess.run(
        [program, "-v", "error", *arguments],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode:
        raise UnreadableMediaError(done.stderr.decode("utf-8", "replace").strip()[-500:])
    return done.stdout
