"""A first task. Save a change while `trigger dev` runs: the next run has it."""

from dataclasses import dataclass

from triggerdev import task


@dataclass
class Greeting:
    name: str = "world"


@task(id="hello")
async def hello(payload: Greeting) -> dict[str, str]:
    print(f"Greeting {payload.name}")
    return {"message": f"Hello, {payload.name}!"}
