"""Asking a language model, by the API that most of them speak."""

import json
import os
from pathlib import Path
from typing import Any

import httpx

PROMPT = Path(__file__).parents[1] / "prompts" / "notes.txt"


async def notes(measured: dict[str, Any]) -> str:
    """Let a model write notes of what was measured. Raises httpx.HTTPError."""
    headers = {"Authorization": f"Bearer {os.environ['MODEL_API_KEY']}"}
    messages = [
        {"role": "system", "content": PROMPT.read_text(encoding="utf-8")},
        {"role": "user", "content": json.dumps(measured)},
    ]
    async with httpx.AsyncClient(
        base_url=os.environ["MODEL_API_URL"], headers=headers, timeout=120
    ) as client:
        body = {"model": os.environ.get("MODEL", "small"), "messages": messages}
        answer = await client.post("/chat/completions", json=body)
        answer.raise_for_status()
        return str(answer.json()["choices"][0]["message"]["content"])
