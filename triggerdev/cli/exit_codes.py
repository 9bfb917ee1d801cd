"""What the command's exit codes mean, and the one mapping from errors to them."""

from typing import Final

from triggerdev import errors

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2
AUTH: Final = 3
WOULD_ASK: Final = 4
UNREACHABLE: Final = 5
INTERRUPTED: Final = 130

_GATEWAY_STATUSES = (502, 503, 504)


def of(error: BaseException) -> int:
    """Return the exit code for an error."""
    if isinstance(error, KeyboardInterrupt):
        return INTERRUPTED
    if isinstance(error, errors.InternalServerError) and error.status in _GATEWAY_STATUSES:
        return UNREACHABLE
    for kind, code in _BY_CLASS:
        if isinstance(error, kind):
            return code
    return FAILED


_BY_CLASS: tuple[tuple[type[Exception], int], ...] = (
    (errors.UsageError, USAGE),
    (errors.AuthenticationError, AUTH),
    (errors.PermissionDeniedError, AUTH),
    (errors.WouldPromptError, WOULD_ASK),
    (errors.ConnectionFailedError, UNREACHABLE),
    (errors.StorageUnavailableError, UNREACHABLE),
)
