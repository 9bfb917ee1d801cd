"""A task that runs every minute. `trigger dev` starts its runs while it is up."""

from triggerdev import schedules


@schedules.task(id="every-minute", cron="* * * * *")
async def every_minute(payload: schedules.Payload) -> dict[str, str | None]:
    print(f"Due at {payload.timestamp}, last time {payload.last_timestamp}")
    return {"due": str(payload.timestamp), "next": str(payload.upcoming[0]) if payload.upcoming else None}
