"""Applying metadata operations to what is stored."""

from typing import Any

from triggerdev import _metadata, errors


def apply(current: dict[str, Any] | None, operations: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the metadata after the operations.

    Neither argument is changed, nor shared with the result: a command may be repeated.

    Raises InvalidOptionError for an operation or a path that cannot be understood.
    """
    result: dict[str, Any] = _metadata.copy(current or {})
    for operation in operations:
        try:
            _metadata.change(result, operation)
        except ValueError as error:
            raise errors.InvalidOptionError(f"metadata: {error}") from error
    return result
