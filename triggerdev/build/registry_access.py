"""How a project's registries are reached, from its configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triggerdev.build.oci.registry.transport import Access

if TYPE_CHECKING:
    from triggerdev.config import LoadedConfig


def access(loaded: LoadedConfig) -> Access:
    """Give what `deploy` says of registries, and where logins are looked for."""
    deploy = loaded.config.deploy
    ca_file = loaded.root / deploy.registry_ca_file if deploy.registry_ca_file else None
    return Access(plain_http=deploy.registry_plain_http, ca_file=ca_file, environ=loaded.environ)
