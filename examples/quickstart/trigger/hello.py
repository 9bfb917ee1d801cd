"""Three small tasks: one that greets, one on a schedule, one that fans out and waits."""

from dataclasses import dataclass, field

from triggerdev import schedules, task, wait


@dataclass
class Greeting:
    name: str = "world"


@task(id="hello")
async def hello(payload: Greeting) -> dict[str, str]:
    print(f"Greeting {payload.name}")
    return {"message": f"Hello, {payload.name}!"}


@schedules.task(id="morning", cron=schedules.Cron(pattern="0 9 * * 1-5", timezone="Europe/Berlin"))
async def morning(payload: schedules.Payload) -> dict[str, str]:
    print(f"Due at {payload.timestamp}, last time {payload.last_timestamp}")
    return {"due": str(payload.timestamp)}


@dataclass
class Party:
    guests: list[str] = field(default_factory=lambda: ["Ada", "Grace", "Linus"])
    pause: float = 1


@task(id="greet-all")
async def greet_all(payload: Party) -> dict[str, list[str]]:
    await wait.for_(seconds=payload.pause)  # gives its place to other runs, and survives a restart
    results = await hello.batch_trigger_and_wait([{"payload": {"name": guest}} for guest in payload.guests])
    return {"greetings": [result.unwrap()["message"] for result in results]}
