"""Defining tasks: ids, options, mistakes."""

import asyncio
import re
from typing import Any

import pytest

from triggerdev import (
    Machine,
    PayloadError,
    Queue,
    Retry,
    TaskDefinitionError,
    batch,
    queue,
    schedules,
    task,
    tasks,
)
from triggerdev.sdk.registry import Registry
from triggerdev.sdk.task import kebab


def test_the_id_comes_from_the_functions_name(registry: Registry) -> None:
    @task
    def add_numbers(payload: list[float]) -> float:
        return sum(payload)

    @task()
    async def send_email() -> None: ...

    assert list(registry.tasks) == ["add-numbers", "send-email"]
    assert (add_numbers.kind, send_email.kind) == ("sync", "async")
    assert add_numbers([1, 2]) == 3
    assert add_numbers.file == __file__
    assert kebab("addHTTPNumbers") == "add-httpnumbers"


def test_two_tasks_of_one_id_are_reported_with_both_places() -> None:
    @task(id="same")
    def one() -> None: ...

    with pytest.raises(
        TaskDefinitionError, match=rf"'same' is defined twice: {__file__}:\d+ and {__file__}:\d+"
    ):

        @task(id="same")
        def two() -> None: ...


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"machine": "huge"}, "Unknown machine preset 'huge'"),
        ({"machine": {"cpu": 3, "memory": 1}}, "No machine preset"),
        ({"machine": {"presett": "micro"}}, "unknown key 'presett'"),
        ({"machine": {}}, "is empty"),
        ({"machine": "small-2x", "retry": {"out_of_memory": {"machine": "micro"}}}, "no more memory than"),
        ({"retry": {"max_attempts": 0}}, "max_attempts=0"),
        ({"retry": {"attempts": 1}}, "retry has no option 'attempts'"),
        ({"queue": {"concurrency_limit": 0}}, "concurrency_limit=0"),
        ({"queue": {"concurrency_limit": -1}}, "concurrency_limit=-1"),
        ({"queue": {"limit": 1}}, "unknown option 'limit'"),
        ({"queue": "!!"}, "queue name '!!'"),
        ({"queue": {"name": 3}}, "queue name 3"),
        ({"queue": "q" * 129}, "queue name 'q+"),
        ({"max_duration": "soon"}, "max_duration='soon' is no duration"),
        ({"max_duration": -5}, "max_duration=-5 is no duration"),
        ({"max_duration": 0}, "max_duration=0: at least 1 second"),
        ({"max_duration": float("nan")}, "max_duration=nan is no duration"),
        ({"ttl": -1}, "ttl=-1 is no duration"),
        ({"on_succes": print}, "unknown option 'on_succes'. Did you mean 'on_success'"),
        ({"on_start": "print"}, "is not callable"),
    ],
)
def test_options_that_make_no_sense_are_reported_at_the_definition(
    options: dict[str, Any], message: str
) -> None:
    with pytest.raises(TaskDefinitionError, match=message) as caught:

        @task(**options)
        def wrong() -> None: ...

    assert str(caught.value).startswith(f"{__file__}:")


def test_forms_of_queues_machines_and_retries(registry: Registry) -> None:
    emails = queue(name="emails", concurrency_limit=5)

    @task(queue=emails, machine=Machine("micro"), retry=Retry(max_attempts=2))
    def one() -> None: ...

    @task(
        queue="emails",
        machine={"preset": "micro"},
        retry={"maxAttempts": 2, "outOfMemory": {"machine": "large-1x"}},
    )
    def two() -> None: ...

    @task(queue={"concurrency_limit": 1}, machine={"cpu": 0.25, "memory": 0.25})
    def three() -> None: ...

    assert one.queue == {"name": "emails", "concurrency_limit": 5}
    assert two.queue == {"name": "emails", "concurrency_limit": None}
    assert three.queue == {"name": "task/three", "concurrency_limit": 1}
    assert {one.machine, two.machine, three.machine} == {"micro"}
    assert registry.queues == {"emails": Queue("emails", 5)}


def test_the_memory_of_a_retry_must_be_a_preset() -> None:
    assert Retry(out_of_memory={"machine": "large-1x"}).info()["out_of_memory_machine"] == "large-1x"
    assert Retry(out_of_memory={"machine": Machine("micro")}).info()["out_of_memory_machine"] == "micro"
    with pytest.raises(TaskDefinitionError, match="disk"):
        Retry(out_of_memory={"machine": "disk"})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_attempts": 251}, "max_attempts=251"),
        ({"max_attempts": 2.5}, "max_attempts=2.5"),
        ({"max_attempts": "3"}, "max_attempts='3'"),
        ({"factor": 0}, "factor=0"),
        ({"factor": float("nan")}, "factor=nan"),
        ({"min_timeout_in_ms": -1}, "min_timeout_in_ms=-1"),
        ({"max_timeout_in_ms": "1s"}, "max_timeout_in_ms='1s'"),
        ({"max_timeout_in_ms": float("inf")}, "max_timeout_in_ms=inf"),
        ({"randomize": "no"}, "randomize='no'"),
        ({"out_of_memory": {}}, "out_of_memory={}"),
        ({"out_of_memory": {"machine": None}}, "out_of_memory="),
        ({"out_of_memory": "large-1x"}, "out_of_memory='large-1x'"),
    ],
)
def test_numbers_of_a_retry_that_make_no_sense_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(TaskDefinitionError, match=re.escape(message)):
        Retry(**options)


@pytest.mark.parametrize(
    ("cron", "message"),
    [
        ("every day", "is no cron pattern"),
        ("0 9 * *", "five fields"),
        ("99 9 * * *", "is no cron pattern"),
        (schedules.Cron("0 9 * * *", "Mars/Olympus"), "no time zone 'Mars/Olympus'"),
    ],
)
def test_schedules_are_checked_at_the_definition(cron: Any, message: str) -> None:
    with pytest.raises(TaskDefinitionError, match=message):
        schedules.task(id="report", cron=cron)


def test_global_hooks_are_registered_in_order(registry: Registry) -> None:
    @tasks.on_start
    def first() -> None: ...

    @tasks.on_start
    def second() -> None: ...

    assert registry.hooks == {"on_start": [first, second]}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dely": "1s"}, "Unknown trigger option 'dely'. Did you mean 'delay'"),
        ({"delay": "soon"}, "delay='soon' is neither a duration"),
        ({"ttl": "x"}, "ttl='x' is no duration"),
        ({"priority": "high"}, "priority='high' is no number"),
        ({"delay": [1]}, r"delay=\[1\] is no duration"),
        ({"delay": True}, "delay=True is no duration"),
        ({"delay": float("nan")}, "delay=nan is no duration"),
        ({"delay": -1}, "delay=-1 is negative"),
        ({"delay": 1e12}, "delay=.* is longer than a hundred years"),
        ({"ttl": -1}, "ttl=-1 is negative"),
        ({"ttl": True}, "ttl=True is no duration"),
        ({"priority": float("inf")}, "priority=inf is no number"),
        ({"priority": True}, "priority=True is no number"),
        ({"tags": [str(n) for n in range(11)]}, "tags: a run has at most 10 tags, these are 11"),
        ({"tags": ["x" * 129]}, r"tags: .* is no text of 1 to 128 characters \(it has 129\)"),
        ({"tags": [""]}, "tags: '' is no text of 1 to 128"),
        ({"tags": "  "}, "tags: '  ' is no text of 1 to 128"),
        ({"tags": ["a", 5]}, "tags: 5 is no text of 1 to 128"),
        ({"tags": 5}, "tags=5: use a text or a list"),
        ({"tags": {"a": 1}}, "tags=.*: use a text or a list"),
        ({"debounce": "key"}, "debounce='key': use a mapping"),
        ({"debounce": {"key": "k"}}, "debounce: 'delay' is missing"),
        ({"debounce": {"key": "k", "delay": "5s", "maxDelay": "1m"}}, "debounce: 'maxDelay' is unknown"),
        ({"debounce": {"key": "", "delay": "5s"}}, "debounce: key='' is no text of 1 to 512"),
        ({"debounce": {"key": "x" * 513, "delay": "5s"}}, "debounce: key=.* is no text of 1 to 512"),
        ({"debounce": {"key": "k", "delay": "soon"}}, "debounce.delay='soon' is no duration"),
        ({"debounce": {"key": "k", "delay": 0.5}}, "debounce.delay=0.5 is shorter than a second"),
        ({"debounce": {"key": "k", "delay": "5s", "mode": "last"}}, "mode='last' is neither"),
        (
            {"debounce": {"key": "k", "delay": "5s", "max_delay": "5s"}},
            "debounce.max_delay='5s' is not longer than delay='5s'",
        ),
        ({"metadata": [1]}, "metadata=.* is no mapping"),
        ({"metadata": {"a": {"b": object()}}}, "value.a.b: a `object` object"),
        ({"queue": {"concurrency_limit": 1}}, "no name"),
        ({"queue": {"name": "q", "concurrency_limit": -1}}, "concurrency_limit=-1"),
        ({"queue": "..."}, "queue name '...'"),
        ({"machine": "huge"}, "Unknown machine preset"),
        ({"max_attempts": 0}, "max_attempts=0"),
        ({"idempotency_key": ""}, "1 to 2,048"),
    ],
)
async def test_trigger_options_are_checked_before_anything_is_sent(options: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        await tasks.trigger("t", 1, **options)


@pytest.mark.parametrize(
    ("items", "message"),
    [
        ([], "at least one item"),
        ([{"payload": 1}] * 1001, "at most 1,000 items; this one has 1,001"),
        (5, "items=5: use a list"),
        ({"payload": 1}, "items=.*: use a list"),
        ([{"payload": 1}, 5], r"items\[1\] is 5"),
        ([{"payload": 1, "options": [2]}], r"items\[0\]: options=\[2\] is no mapping"),
        ([{"payload": {"at": object()}}], r"items\[0\]: payload.at: a `object` object"),
        ([{"paylod": 1}], r"items\[0\] has an unknown key 'paylod'"),
        ([{"payload": 1, "options": {"delay": "x"}}], r"items\[0\]: delay='x'"),
    ],
)
async def test_batch_items_are_checked_with_their_index(items: Any, message: str) -> None:
    with pytest.raises(PayloadError, match=message):
        await tasks.batch_trigger("t", items)


async def test_items_of_several_tasks_name_theirs() -> None:
    for items in ([{"payload": 1}], [{"task": 7, "payload": 1}]):
        for call in (batch.trigger, batch.trigger_by_task):
            with pytest.raises(PayloadError, match=r"items\[0\] names no task"):
                await call(items)


async def test_a_payload_that_json_cannot_hold_is_named() -> None:
    with pytest.raises(PayloadError, match=r"payload\.socket: a `object` object cannot be"):
        await tasks.trigger("t", {"socket": object()})


async def test_a_call_starts_at_its_first_await_and_suits_asyncio() -> None:
    from triggerdev import idempotency_keys

    calls = [idempotency_keys.create(str(number), scope="global") for number in range(3)]
    keys = await asyncio.gather(calls[0], asyncio.create_task(calls[1]), asyncio.ensure_future(calls[2]))
    assert len(set(keys)) == 3
    assert "create" in repr(calls[0])
    never = idempotency_keys.create("x")
    never.close()
