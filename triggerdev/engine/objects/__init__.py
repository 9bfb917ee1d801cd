"""Where large payloads and outputs lie: in a folder beside the database, or in a bucket."""

from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from triggerdev import errors
from triggerdev.engine.objects.folder import FolderObjects
from triggerdev.engine.objects.protocol import ObjectStore


def open_objects(place: str | Path, environ: Mapping[str, str]) -> ObjectStore:
    """Choose a store by its place: a folder, or a URL `s3://bucket/prefix`.

    The bucket's access is in the AWS_* variables of `environ`. Raises UsageError for another URL,
    EnvironmentProblemError where the package for S3 is missing.
    """
    if isinstance(place, Path):
        return FolderObjects(place)
    parts = urlsplit(place)
    if parts.scheme != "s3" or not parts.netloc:
        raise errors.UsageError(
            f"TRIGGER_OBJECT_STORE_URL={place!r}: must look like s3://bucket/prefix; unset, a folder is used."
        )
    from triggerdev.engine.objects.s3 import S3Objects

    return S3Objects(parts.netloc, parts.path.strip("/"), environ)


__all__ = ["FolderObjects", "ObjectStore", "open_objects"]
