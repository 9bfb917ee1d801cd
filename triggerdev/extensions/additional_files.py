"""`additional-files`: files of the project, beside its Python source, that belong in the image."""

from typing import Annotated, Any

import pydantic

from triggerdev.build.context import BuildContext, BuildManifest
from triggerdev.build.extension import BuildExtension
from triggerdev.build.layers import BuildLayer, FileMapping, FilePath
from triggerdev.build.options import Options


def _item(value: Any) -> Any:
    return {"source": value} if isinstance(value, str) else value


class AdditionalFilesOptions(Options):
    """`files`: each a path, folder, glob or {source, destination}; the others are defaults for all."""

    model_config = pydantic.ConfigDict(strict=False)  # a table becomes a FileMapping

    files: list[Annotated[FileMapping, pydantic.BeforeValidator(_item)]] = pydantic.Field(min_length=1)
    optional: bool = False
    allow_outside: bool = False
    destination: FilePath | None = None


class AdditionalFiles(BuildExtension):
    """Copy files by path, folder or glob, or by {source, destination}."""

    name = "additional-files"
    Options = AdditionalFilesOptions
    options: AdditionalFilesOptions

    async def on_build_complete(self, context: BuildContext, manifest: BuildManifest) -> None:
        """Add the files as a layer that has the table's name."""
        chosen = self.options
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
