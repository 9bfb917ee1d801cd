"""Objects in a bucket: S3, or anything that speaks its language (MinIO, R2, Ceph, ...), by obstore."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Literal

from triggerdev import errors
from triggerdev.engine.objects.protocol import Body, Listed

if TYPE_CHECKING:
    from obstore.store import S3Store

_PATIENCE = timedelta(seconds=10)
_RETRIES = 3
_DELETED_AT_ONCE = 1000
_VARIABLES = (
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_VIRTUAL_HOSTED_STYLE_REQUEST",
)


class S3Objects:
    """Objects of a bucket below a prefix; clients get URLs of the bucket itself.

    Calls are made in threads: the asynchronous ones of obstore can abort the process at its exit.
    `environ` has the access: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_REGION, and AWS_ENDPOINT_URL for
    another server than Amazon's.
    """

    def __init__(self, bucket: str, prefix: str, environ: Mapping[str, str]) -> None:
        self.name = f"s3://{bucket}/{prefix}".rstrip("/")
        self._store = _open(bucket, prefix, environ)

    async def put(self, key: str, body: Body) -> None:
        await asyncio.to_thread(self._put, key, body)

    async def get(self, key: str) -> Body | None:
        return await asyncio.to_thread(self._get, key)

    async def delete(self, keys: Sequence[str]) -> None:
        await asyncio.to_thread(self._delete, keys)

    async def listed(self, folder: str) -> AsyncIterator[Listed]:
        with self._explained():
            pages = iter(self._store.list(folder))
            while page := await asyncio.to_thread(next, pages, None):
                for found in page:
                    yield Listed(found["path"], round(found["last_modified"].timestamp() * 1000))

    def _put(self, key: str, body: Body) -> None:
        try:
            with self._explained():
                self._store.put(key, body.data, attributes={"Content-Type": body.content_type})
        except FileNotFoundError as error:
            raise errors.EnvironmentProblemError(f"{self.name}: {_first_line(error)}") from error

    def _get(self, key: str) -> Body | None:
        try:
            with self._explained():
                found = self._store.get(key)
                data = bytes(found.bytes())
        except FileNotFoundError:
            return None
        kind: Any = found.attributes.get("Content-Type")
        return Body(str(kind or "application/octet-stream"), data)

    def _delete(self, keys: Sequence[str]) -> None:
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            with self._explained(), contextlib.suppress(FileNotFoundError):
                self._store.delete(list(keys[start : start + _DELETED_AT_ONCE]))

    def presign(self, method: str, key: str, seconds: int) -> str | None:
        import obstore

        verb: Literal["GET", "PUT"] = "PUT" if method == "PUT" else "GET"
        with self._explained():
            return str(obstore.sign(self._store, verb, key, timedelta(seconds=seconds)))

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        from obstore.exceptions import BaseError, GenericError, PermissionDeniedError, UnauthenticatedError

        try:
            yield
        except (UnauthenticatedError, PermissionDeniedError) as error:
            raise errors.EnvironmentProblemError(
                f"{self.name} refuses the access of AWS_ACCESS_KEY_ID: {_first_line(error)}"
            ) from error
        except GenericError as error:
            raise errors.StorageUnavailableError(
                f"{self.name} cannot be reached: {_first_line(error)}"
            ) from error
        except BaseError as error:
            raise errors.EnvironmentProblemError(f"{self.name}: {_first_line(error)}") from error


def _open(bucket: str, prefix: str, environ: Mapping[str, str]) -> "S3Store":
    try:
        from obstore.store import S3Store
    except ModuleNotFoundError as error:
        raise errors.EnvironmentProblemError(
            "TRIGGER_OBJECT_STORE_URL needs the package for S3: pip install 'triggerdev[s3]'."
        ) from error
    config: Any = {name.lower(): environ[name] for name in _VARIABLES if environ.get(name)}
    plain = environ.get("AWS_ENDPOINT_URL", "").startswith("http://")
    return S3Store(
        bucket,
        prefix=prefix or None,
        config=config,
        client_options={"allow_http": plain, "timeout": _PATIENCE},
        retry_config={"max_retries": _RETRIES, "retry_timeout": _PATIENCE},
    )


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]
