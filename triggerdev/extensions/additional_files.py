"""`additional-files`: files of the project, beside its Python source, that belong in the image."""

from typing import Annotated, Any

import pydantic

from triggerdev.build.context import BuildContext, BuildManifest
from triggerdev.build.extension import BuildExtension
from triggerdev.build.layers import BuildLayer, FileMapping


def _item(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


class _Options(pydantic.BaseModel):
    model_config = pydantic.ConfigDict(extra="forbid")

    files: list[Annotated[FileMapping, pydantic.BeforeValidator(_item)]] = pydantic.Field(min_length=1)
    optional: bool = False
    allow_outside: bool = False
    destination: str | None = None


class AdditionalFiles(BuildExtension):
    """Copy files by path, folder or glob, or by {source, destination}.

    `optional`, `allow_outside` and `destination` are defaults for all items.
    """

    name = "additional-files"

    def __init__(
        self,
        files: list[Any],
        optional: bool = False,
        allow_outside: bool = False,
        destination: str | None = None,
    ) -> None:
        self._options = _Options(
            files=files, optional=optional, allow_outside=allow_outside, destination=destination
        )

    async def on_build_complete(self, context: BuildContext, manifest: BuildManifest) -> None:
        """Add the files as a layer that has the table's name."""
        chosen = self._options
        files = [
            FileMapping(
                source=item.source,
                destination=item.destination or chosen.destination,
                optional=item.optional or chosen.optional,
                allow_outside=item.allow_outside or chosen.allow_outside,
            )
            for item in chosen.files
        ]
        context.logger.debug(f"files: {', '.join(item.source for item in files)}")
        context.add_layer(BuildLayer(id=self.name, files=files))
