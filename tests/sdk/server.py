"""A server for the client, inside the process: it keeps what was sent and answers as a test says."""

import json
from collections.abc import Callable
from typing import Any

import httpx

from triggerdev.sdk import http

Answer = httpx.Response | Callable[[httpx.Request], httpx.Response]


def answer(body: Any = None, status: int = 200, **headers: str) -> httpx.Response:
    """A JSON answer; underscores in header names become hyphens."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return httpx.Response(status, json=body, headers=given)


class Server:
    """Answers requests in order; the last answer is repeated."""

    def __init__(self, *answers: Answer) -> None:
        self.requests: list[httpx.Request] = []
        self._answers = list(answers)
        http.configure(
            api_url="http://test.local/",
            secret_key="tr_dev_secret",
            retry_delay=0,
            transport=httpx.MockTransport(self._handle),
        )

    def _handle(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        current = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        return current(request) if callable(current) else _copy(current)

    @property
    def calls(self) -> list[str]:
        return [f"{request.method} {request.url.raw_path.decode()}" for request in self.requests]

    def body(self, index: int = -1) -> Any:
        return json.loads(self.requests[index].content)


def _copy(response: httpx.Response) -> httpx.Response:
    return httpx.Response(response.status_code, content=response.content, headers=response.headers)


def run(status: str = "COMPLETED", **fields: Any) -> dict[str, Any]:
    """A run as the API shows it."""
    done = status in ("COMPLETED", "FAILED", "CANCELED")
    return {
        "id": "run_1",
        "status": status,
        "taskIdentifier": "process-data",
        "isQueued": status == "QUEUED",
        "isExecuting": status == "EXECUTING",
        "isWaiting": False,
        "isCompleted": done,
        "isSuccess": status == "COMPLETED",
        "isFailed": status == "FAILED",
        "isCancelled": status == "CANCELED",
        "isTest": False,
        "createdAt": "2026-11-23T04:46:06.977Z",
        "updatedAt": "2026-11-23T04:46:07.780Z",
        "tags": ["a"],
        "costInCents": 0,
        "baseCostInCents": 0,
        "durationMs": 12,
        "depth": 0,
        "triggerFunction": "trigger",
        "relatedRuns": {},
        "attemptCount": 1,
        **fields,
    }
