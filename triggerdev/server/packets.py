"""What clients upload and download: payloads by a name of their own, and stored bodies by their key."""

import hashlib

from triggerdev.engine.bodies import FOLDER, UPLOADS
from triggerdev.engine.objects.protocol import Body, ObjectStore
from triggerdev.protocol import MAX_STORED_BYTES

MAX_PACKET_BYTES = MAX_STORED_BYTES


class PacketStore:
    """Uploads by name. A trigger copies what it names, so that the next upload of the name changes no run."""

    def __init__(self, objects: ObjectStore) -> None:
        self.objects = objects

    async def put(self, name: str, packet: Body) -> None:
        """Write a packet, replacing one of its name. Raises StorageFullError, EnvironmentProblemError."""
        await self.objects.put(self.key(name), packet)

    async def get(self, name: str) -> Body | None:
        """Read an upload, or the stored body whose key this is."""
        found = await self.objects.get(self.key(name))
        return await self.objects.get(name) if found is None and is_body(name) else found

    def key(self, name: str) -> str:
        """Give the key of an upload: names can be anything, keys of objects cannot."""
        return f"{UPLOADS}/{hashlib.sha256(name.encode('utf-8', 'surrogatepass')).hexdigest()}"


def is_body(name: str) -> bool:
    """Tell whether a name can be the key of a stored body."""
    folder, _, rest = name.partition("/")
    return folder == FOLDER and rest.replace("-", "").replace("_", "").isalnum()
