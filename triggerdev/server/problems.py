"""Refusals, in the real API's error bodies: `{"error": message, ...}`."""

from typing import Any

from starlette.exceptions import HTTPException

from triggerdev import errors

NO_RETRY = {"x-should-retry": "false"}
TRY_AGAIN = {"retry-after": "1"}
STOPPING = "The server is stopping. Try again."
_NO_DATABASE = "The database or object store cannot be reached at the moment. Nothing was written; try again."


class Problem(HTTPException):
    """Ends a request with a status and an error body; `extra` are further top-level fields of the body."""

    def __init__(
        self,
        status: int,
        message: str,
        *,
        headers: dict[str, str] | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(status, message, headers)
        self.extra = extra or {}


def bad_request(message: str, details: list[Any] | None = None) -> Problem:
    return Problem(400, message, extra={"details": details} if details else None)


def unauthorized(message: str = "Invalid or Missing API key") -> Problem:
    return Problem(401, message)


def forbidden(reason: str) -> Problem:
    extra = {"code": "unauthorized", "param": "access_token", "type": "authorization"}
    return Problem(403, f"Unauthorized: {reason}", extra=extra)


def not_found(message: str) -> Problem:
    """Make a 404 that clients do not retry: this server reads what it wrote."""
    return Problem(404, message, headers=NO_RETRY)


def too_large(what: str, size: int | None, limit: int) -> Problem:
    """Make a 413; sizes in bytes, `size` None when it was not counted to the end."""
    has = f" has {size} bytes," if size is not None else " is too large:"
    return Problem(413, f"Request body too large: the {what}{has} at most {limit} are accepted")


def unprocessable(message: str) -> Problem:
    return Problem(422, message)


def of_engine(error: Exception) -> Problem:
    """Make the problem of an error that the engine, or anything else, has raised."""
    match error:
        case Problem():
            return error
        case errors.UnknownTaskError() | errors.NoSuchRunError() | errors.NoSuchVariableError():
            return Problem(404, str(error), headers=NO_RETRY)
        case errors.StorageFullError():
            return Problem(507, str(error), headers=NO_RETRY)
        case errors.StorageUnavailableError():  # where it is concerns the log alone
            return Problem(503, _NO_DATABASE, headers=TRY_AGAIN)
        case errors.StoppedError():
            return Problem(503, STOPPING, headers=TRY_AGAIN)
        case errors.EngineError() | errors.UsageError():
            return Problem(422, str(error))
        case _:
            return Problem(500, str(error))
