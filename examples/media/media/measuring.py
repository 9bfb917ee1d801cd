"""Measuring sound and frames with numpy; nothing here knows of files."""

import io

import numpy as np
from PIL import Image

from media.ffmpeg import FRAME, SAMPLE_RATE

_WINDOW = SAMPLE_RATE // 10
_QUIET = 0.01
_SHORTEST = 0.5
_CHANGE = 0.15


def silences(sound: bytes) -> list[tuple[float, float]]:
    """Find stretches of half a second and more in which nothing is to be heard, as (from, to) in seconds."""
    samples = np.frombuffer(sound, dtype="<i2").astype(np.float32) / 32768
    whole = samples[: len(samples) // _WINDOW * _WINDOW].reshape(-1, _WINDOW)
    quiet = np.sqrt((whole**2).mean(axis=1)) < _QUIET
    edges = np.flatnonzero(np.diff(np.concatenate(([False], quiet, [False])).astype(np.int8)))
    spans = edges.reshape(-1, 2) * _WINDOW / SAMPLE_RATE
    return [(round(float(a), 1), round(float(b), 1)) for a, b in spans if b - a >= _SHORTEST]


def scenes(frames: bytes, each_second: float) -> list[float]:
    """Find the seconds at which another picture begins; the first is 0."""
    pictures = np.frombuffer(frames, dtype=np.uint8).reshape(-1, FRAME[1], FRAME[0]).astype(np.float32) / 255
    if len(pictures) == 0:
        return []
    changes = np.abs(np.diff(pictures, axis=0)).mean(axis=(1, 2))
    return [0.0, *(round(float(index + 1) / each_second, 1) for index in np.flatnonzero(changes > _CHANGE))]


def thumbnail(png: bytes, width: int = 320) -> bytes:
    """Make a small picture, as JPEG."""
    picture = Image.open(io.BytesIO(png)).convert("RGB")
    picture.thumbnail((width, width))
    out = io.BytesIO()
    picture.save(out, "JPEG", quality=80)
    return out.getvalue()
