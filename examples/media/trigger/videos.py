"""From a video to notes about it: measured in parallel, then written by a language model."""

import base64
from typing import Any

from media import ffmpeg, measuring, model
from pydantic import BaseModel, Field

from triggerdev import AbortTaskRunError, metadata, task

FRAMES_EACH_SECOND = 2.0


class Video(BaseModel):
    path: str
    """A file, or an address that ffmpeg reads."""
    thumbnail_at: float = Field(default=0, ge=0)


@task(id="probe-video")
def probe_video(payload: Video) -> dict[str, Any]:
    """Tell what a file holds."""
    try:
        return ffmpeg.probe(payload.path)
    except ffmpeg.UnreadableMediaError as error:
        raise AbortTaskRunError(str(error)) from error  # another attempt reads the same


@task(id="find-silences", machine="medium-1x")
def find_silences(payload: Video) -> list[tuple[float, float]]:
    """Find where nobody speaks."""
    return measuring.silences(ffmpeg.sound(payload.path))


@task(id="find-scenes", machine="medium-1x")
def find_scenes(payload: Video) -> list[float]:
    """Find where other pictures begin."""
    return measuring.scenes(ffmpeg.frames(payload.path, FRAMES_EACH_SECOND), FRAMES_EACH_SECOND)


@task(id="make-thumbnail")
def make_thumbnail(payload: Video) -> str:
    """Make a small picture; as a data URL."""
    jpeg = measuring.thumbnail(ffmpeg.picture(payload.path, payload.thumbnail_at))
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode()}"


@task(id="write-notes", retry={"max_attempts": 5}, queue={"name": "model", "concurrency_limit": 2})
async def write_notes(payload: dict[str, Any]) -> str:
    """Let the language model write; it may be busy, and is asked again."""
    return await model.notes(payload)


@task(id="describe-video", retry={"max_attempts": 1})  # its children are tried again
async def describe_video(payload: Video) -> dict[str, Any]:
    """Measure a video and write notes about it."""
    held = await probe_video.trigger_and_wait(payload).unwrap()
    metadata.set("stage", "measuring")
    measured = {"seconds": held["seconds"]}
    if "audio" in held["streams"]:
        measured["silences"] = await find_silences.trigger_and_wait(payload).unwrap()
    if "video" in held["streams"]:
        measured["scenes"] = await find_scenes.trigger_and_wait(payload).unwrap()
    metadata.set("stage", "writing")
    written = await write_notes.trigger_and_wait(measured).unwrap()
    return {**measured, "notes": written}
