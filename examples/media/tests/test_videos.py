"""Videos, from the file to the notes. ffmpeg is asked where it is installed, and replaced where it is not."""

from typing import Any

import httpx
import numpy as np
import pytest
from media import ffmpeg, measuring, model
from trigger import videos

from triggerdev import testing

TONE = (np.sin(np.arange(ffmpeg.SAMPLE_RATE) / 5) * 20_000).astype("<i2").tobytes()
QUIET = bytes(2 * ffmpeg.SAMPLE_RATE)
BLACK = bytes(ffmpeg.FRAME[0] * ffmpeg.FRAME[1])
WHITE = b"\xff" * len(BLACK)


@pytest.fixture
def video(monkeypatch: pytest.MonkeyPatch) -> None:
    """A video of four seconds: a tone, two seconds of silence, a tone; black, then white."""
    monkeypatch.setattr(ffmpeg, "probe", lambda _path: {"seconds": 4.0, "streams": ["audio", "video"]})
    monkeypatch.setattr(ffmpeg, "sound", lambda _path: TONE + QUIET + QUIET + TONE)
    monkeypatch.setattr(ffmpeg, "frames", lambda _path, _rate: BLACK * 5 + WHITE * 3)


def test_silences_are_found() -> None:
    assert measuring.silences(TONE + QUIET + TONE) == [(1.0, 2.0)]
    assert measuring.silences(TONE + QUIET[: len(QUIET) // 4] + TONE) == []
    assert measuring.silences(b"") == []


def test_scenes_are_found() -> None:
    assert measuring.scenes(BLACK * 4 + WHITE * 4 + BLACK, 2) == [0.0, 2.0, 4.0]
    assert measuring.scenes(b"", 2) == []


@pytest.mark.usefixtures("video")
async def test_a_video_is_measured_and_described(monkeypatch: pytest.MonkeyPatch) -> None:
    async def write(measured: dict[str, Any]) -> str:
        return f"A film of {measured['seconds']:g} seconds."

    monkeypatch.setattr(model, "notes", write)
    async with testing.engine([videos]) as engine:
        run = await engine.run(videos.describe_video, {"path": "film.mp4"})
        assert run.output == {
            "seconds": 4.0,
            "silences": [[1.0, 3.0]],
            "scenes": [0.0, 2.5],
            "notes": "A film of 4 seconds.",
        }
        assert run.metadata == {"stage": "writing"}


@pytest.mark.usefixtures("video")
async def test_what_is_no_video_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_path: str) -> None:
        raise ffmpeg.UnreadableMediaError("Invalid data found when processing input")

    monkeypatch.setattr(ffmpeg, "probe", refuse)
    async with testing.engine([videos]) as engine:
        run = await engine.run(videos.describe_video, {"path": "notes.txt"})
        assert not run.ok
        assert "Invalid data" in str(run.error)
        assert engine.assert_triggered("probe-video", times=1)[0].attempts == 1


async def test_a_busy_model_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([503, 429, 200])

    def answer(request: httpx.Request) -> httpx.Response:
        assert request.headers["Authorization"] == "Bearer key"
        return httpx.Response(next(answers), json={"choices": [{"message": {"content": "Fine."}}]})

    real = httpx.AsyncClient

    def client(**options: Any) -> httpx.AsyncClient:
        return real(transport=httpx.MockTransport(answer), **options)

    monkeypatch.setenv("MODEL_API_KEY", "key")
    monkeypatch.setenv("MODEL_API_URL", "http://model.test/v1")
    monkeypatch.setattr(model.httpx, "AsyncClient", client)
    async with testing.engine([videos], connect=False) as engine:
        run = await engine.run(videos.write_notes, {"seconds": 1})
        assert (run.output, run.attempts) == ("Fine.", 3)
