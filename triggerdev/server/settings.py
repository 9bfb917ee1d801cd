"""What the server must be told besides the engine and the key."""

from dataclasses import dataclass, field
from pathlib import Path

LOCAL_NAMES = frozenset({"localhost", "host.docker.internal"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """How the server behaves.

    `data_dir`: folder for payloads that clients upload, if the engine has no object store; made when needed.
    `public_url`: base of URLs in answers, without a trailing slash; by default that of the request.
    `allowed_hosts`: names accepted in the Host header besides IP addresses and the host that is bound; None
    accepts every name.
    """

    data_dir: Path
    public_url: str | None = None
    allowed_hosts: frozenset[str] | None = field(default=LOCAL_NAMES)
