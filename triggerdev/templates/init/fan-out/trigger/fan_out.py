"""One run for each item, all at once; the parent waits without holding a place and adds up."""

from dataclasses import dataclass, field

from triggerdev import task, wait


@dataclass
class Texts:
    texts: list[str] = field(default_factory=lambda: ["one", "two words", "and three words"])


@task(id="count-words")
async def count_words(payload: str) -> int:
    await wait.for_(seconds=1)
    return len(payload.split())


@task(id="fan-out")
async def fan_out(payload: Texts) -> dict[str, int]:
    results = await count_words.batch_trigger_and_wait([{"payload": text} for text in payload.texts])
    counted = [result.output for result in results if result.ok]
    return {"texts": len(counted), "words": sum(counted), "failed": len(results) - len(counted)}
