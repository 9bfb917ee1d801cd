"""`emit-decorator-metadata`: for Node runtimes, where TypeScript is compiled."""

from typing import Any

from triggerdev import errors
from triggerdev.build.extension import BuildExtension


class EmitDecoratorMetadata(BuildExtension):
    """Say that Python projects need no such thing: decorators and annotations are there when they run."""

    name = "emit-decorator-metadata"

    def __init__(self, **options: Any) -> None:
        raise errors.BuildError(
            "'emit-decorator-metadata' belongs to Node runtimes, where TypeScript is compiled; Python keeps "
            "decorators and annotations anyway: remove the table, or set enabled = false"
        )
