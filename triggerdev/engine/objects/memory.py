"""Objects in memory, for tests."""

from collections.abc import AsyncIterator, Sequence

from triggerdev.engine.objects.protocol import Body, Listed


class MemoryObjects:
    """Objects that are gone with the process."""

    def __init__(self) -> None:
        self.bodies: dict[str, Body] = {}

    async def put(self, key: str, body: Body) -> None:
        self.bodies[key] = body

    async def get(self, key: str) -> Body | None:
        return self.bodies.get(key)

    async def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            self.bodies.pop(key, None)

    async def listed(self, folder: str) -> AsyncIterator[Listed]:
        for key in [key for key in self.bodies if key.startswith(f"{folder}/")]:
            yield Listed(key, 0)

    def presign(self, method: str, key: str, seconds: int) -> str | None:
        return None
