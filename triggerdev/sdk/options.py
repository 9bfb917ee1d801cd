"""Options of a trigger call: checked at the user's line, written in the wire form."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, Required, TypedDict

from triggerdev import _json
from triggerdev.errors import PayloadError, TaskDefinitionError
from triggerdev.protocol import MIN_MAX_DURATION
from triggerdev.sdk import keys, machines, policy, serialise, times

MAX_TAGS = 10
_MAX_TAG_LENGTH = 128
_MAX_METADATA_BYTES = 262_144
_MAX_DEBOUNCE_KEY = 512
_MAX_PRIORITY = 10**9
_SINGLE_UNITS = "smhd"


class Debounce(TypedDict, total=False):
    """Triggers with the same key, of one task, become one run that starts when none has come for `delay`.

    `mode`: "leading" runs with the first payload, "trailing" with the last one (and its metadata, tags,
    machine, limits). `max_delay`: the run is put off no longer; without it, as long as triggers come.
    """

    key: Required[str]
    delay: Required[str | timedelta]
    mode: Literal["leading", "trailing"]
    max_delay: str | timedelta


class TriggerOptions(TypedDict, total=False):
    """Options of a trigger call.

    `delay`: duration or moment. `ttl`: expire if not started by then; numbers are seconds, 0 is never.
    `priority`: seconds of head start. `tags`: at most 10, 128 characters each. `queue`: name, mapping,
    or Queue.
    `idempotency_key`: the second run with it is the first one. `max_duration`: seconds of compute time.
    `debounce`: {"key": ..., "delay": "5s"}: many triggers, one run.
    """

    delay: str | timedelta | datetime
    ttl: str | int | timedelta
    priority: float
    tags: str | Sequence[str]
    metadata: Mapping[str, Any]
    queue: str | policy.QueueMapping | policy.Queue
    concurrency_key: str | int
    idempotency_key: str | Sequence[str]
    idempotency_key_ttl: str | timedelta
    machine: str | machines.MachineMapping | machines.Machine
    max_attempts: int
    max_duration: float | str | timedelta
    test: bool
    debounce: Debounce


Wire = dict[str, Any]


def to_wire(options: Mapping[str, Any]) -> Wire:
    """Check options and write them in the wire form. Raises PayloadError naming option and reason."""
    wire: Wire = {}
    for name, value in options.items():
        write = _WRITERS.get(name)
        if write is None:
            raise PayloadError(_unknown(name))
        if value is not None:
            write(wire, value)
    return wire


def _unknown(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, _WRITERS, 1)
    hint = f" Did you mean {near[0]!r}?" if near else f" Options are: {', '.join(_WRITERS)}."
    return f"Unknown trigger option {name!r}.{hint}"


def _delay(wire: Wire, value: Any) -> None:
    wire["delay"] = times.moment_or_duration(value, "delay")


def _ttl(wire: Wire, value: Any) -> None:
    if isinstance(value, int) and not isinstance(value, bool):
        if value < 0:
            raise PayloadError(f"ttl={value!r} is negative.")
        wire["ttl"] = value
    else:
        wire["ttl"] = times.duration_text(value, "ttl")


def _priority(wire: Wire, value: Any) -> None:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not is_number or not -_MAX_PRIORITY <= value <= _MAX_PRIORITY:
        raise PayloadError(
            f"priority={value!r:.60} is no number of seconds of head start (up to {_MAX_PRIORITY:,})."
        )
    wire["priority"] = value


def _tags(wire: Wire, value: Any) -> None:
    wire["tags"] = check_tags(value)


def check_tags(value: str | Iterable[str]) -> list[str]:
    """Give tags without doubles. Raises PayloadError beyond 10 tags, or 1 to 128 characters each."""
    if not isinstance(value, (str, Iterable)) or isinstance(value, Mapping):
        raise PayloadError(f"tags={value!r:.60}: use a text or a list of texts.")
    tags = [value] if isinstance(value, str) else list(value)
    for tag in tags:
        if not isinstance(tag, str) or not tag.strip() or len(tag) > _MAX_TAG_LENGTH:
            length = f" (it has {len(tag)})" if isinstance(tag, str) and tag.strip() else ""
            raise PayloadError(f"tags: {tag!r:.60} is no text of 1 to {_MAX_TAG_LENGTH} characters{length}.")
    distinct = list(dict.fromkeys(tags))
    if len(distinct) > MAX_TAGS:
        raise PayloadError(f"tags: a run has at most {MAX_TAGS} tags, these are {len(distinct)}.")
    return distinct


def _metadata(wire: Wire, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise PayloadError(f"metadata={value!r:.60} is no mapping.")
    text = serialise.dump(dict(value))
    if len(text.encode()) > _MAX_METADATA_BYTES:
        raise PayloadError(f"metadata is over {_MAX_METADATA_BYTES:,} bytes as JSON.")
    wire["metadata"] = _json.loads(text)


def _queue(wire: Wire, value: Any) -> None:
    try:
        queue = policy.as_queue(value, None)
    except TaskDefinitionError as error:
        raise PayloadError(str(error)) from None
    if queue is not None:
        wire["queue"] = {"name": queue.name}
        if queue.concurrency_limit is not None:
            wire["queue"]["concurrencyLimit"] = queue.concurrency_limit


def _concurrency_key(wire: Wire, value: Any) -> None:
    wire["concurrencyKey"] = str(value)


def _idempotency_key(wire: Wire, value: Any) -> None:
    key = keys.resolve(value)
    wire["idempotencyKey"] = str(key)
    if isinstance(key, keys.IdempotencyKey):
        wire["idempotencyKeyOptions"] = {"key": key.key, "scope": key.scope}


def _idempotency_key_ttl(wire: Wire, value: Any) -> None:
    wire["idempotencyKeyTTL"] = single_unit(value, "idempotency_key_ttl")


def single_unit(value: Any, option: str) -> str:
    """Write a duration of one unit ("24h"); the wire format of key lifetimes allows no "1h30m"."""
    text = times.duration_text(value, option)
    if text[:-1].isdigit() and text[-1] in _SINGLE_UNITS:
        return text
    return f"{times.duration_ms(value, option) // 1000}s"


def _machine(wire: Wire, value: Any) -> None:
    try:
        wire["machine"] = machines.preset_name(value)
    except TaskDefinitionError as error:
        raise PayloadError(str(error)) from None


def _max_attempts(wire: Wire, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise PayloadError(f"max_attempts={value!r}: use a whole number from 1.")
    wire["maxAttempts"] = value


def _max_duration(wire: Wire, value: Any) -> None:
    seconds = times.duration_ms(value, "max_duration") / 1000
    if seconds < MIN_MAX_DURATION:
        raise PayloadError(f"max_duration={value!r}: at least {MIN_MAX_DURATION} second of compute time.")
    wire["maxDuration"] = int(seconds) if seconds.is_integer() else seconds


def _test(wire: Wire, value: Any) -> None:
    wire["test"] = bool(value)


def _debounce(wire: Wire, value: Any) -> None:
    form = 'as {"key": "user-1", "delay": "5s"}; also mode="leading"|"trailing", max_delay'
    if not isinstance(value, Mapping):
        raise PayloadError(f"debounce={value!r:.60}: use a mapping, {form}.")
    unknown = value.keys() - Debounce.__annotations__.keys()
    missing = {"key", "delay"} - value.keys()
    if unknown or missing:
        raise PayloadError(
            f"debounce: {min(unknown or missing)!r} is {'unknown' if unknown else 'missing'}; {form}."
        )
    key, mode = value["key"], value.get("mode", "leading")
    if not isinstance(key, str) or not 1 <= len(key) <= _MAX_DEBOUNCE_KEY:
        raise PayloadError(f"debounce: key={key!r:.60} is no text of 1 to {_MAX_DEBOUNCE_KEY} characters.")
    if mode not in ("leading", "trailing"):
        raise PayloadError(f"debounce: mode={mode!r:.60} is neither 'leading' nor 'trailing'.")
    wire["debounce"] = {"key": key, "mode": mode, **_debounce_delays(value)}


def _debounce_delays(value: Mapping[str, Any]) -> Wire:
    delay_ms = times.duration_ms(value["delay"], "debounce.delay")
    if delay_ms < 1000:
        raise PayloadError(f"debounce.delay={value['delay']!r} is shorter than a second.")
    delays = {"delay": times.duration_text(value["delay"], "debounce.delay")}
    longest = value.get("max_delay")
    if longest is not None:
        if times.duration_ms(longest, "debounce.max_delay") <= delay_ms:
            raise PayloadError(
                f"debounce.max_delay={longest!r} is not longer than delay={value['delay']!r}: "
                "no run could ever be put off."
            )
        delays["maxDelay"] = times.duration_text(longest, "debounce.max_delay")
    return delays


_WRITERS: dict[str, Callable[[Wire, Any], None]] = {
    "delay": _delay,
    "ttl": _ttl,
    "priority": _priority,
    "tags": _tags,
    "metadata": _metadata,
    "queue": _queue,
    "concurrency_key": _concurrency_key,
    "idempotency_key": _idempotency_key,
    "idempotency_key_ttl": _idempotency_key_ttl,
    "machine": _machine,
    "max_attempts": _max_attempts,
    "max_duration": _max_duration,
    "test": _test,
    "debounce": _debounce,
}
