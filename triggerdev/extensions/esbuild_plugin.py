"""`esbuild-plugin`: for Node runtimes, whose sources are bundled."""

from typing import Any

from triggerdev import errors
from triggerdev.build.extension import BuildExtension


class EsbuildPlugin(BuildExtension):
    """Say that Python projects have no bundler."""

    name = "esbuild-plugin"

    def __init__(self, **options: Any) -> None:
        raise errors.BuildError(
            "'esbuild-plugin' belongs to Node runtimes, whose sources are bundled; Python projects have "
            "no bundler, and a custom extension can add generated files: remove the table, or set "
            "enabled = false"
        )
