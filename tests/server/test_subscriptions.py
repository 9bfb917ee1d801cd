"""What is kept of clients that follow many runs, and what happens when it is too much or too old."""

from typing import Any

import pytest

from triggerdev.engine.engine import Engine
from triggerdev.engine.model import TriggerItem
from triggerdev.engine.watch import Watch
from triggerdev.server import subscriptions
from triggerdev.server.subscriptions import Offset, Subscriptions, Tagged

EVERYTHING = Tagged(("t",), 0)


async def tagged(engine: Engine) -> str:
    options: dict[str, Any] = {"tags": ["t"], "delay": "1h"}
    return (await engine.trigger(TriggerItem("held", options=options))).id


def test_a_feed_gives_each_key_once_and_says_when_it_has_lost_count() -> None:
    watch = Watch()
    feed = watch.open_feed()
    watch.notify(["a", "b"])
    watch.notify(["b"])
    assert feed.take() == {"a", "b"}
    assert feed.take() == set()
    watch.notify([str(n) for n in range(10_001)])
    assert feed.take() is None
    watch.notify_all()
    assert feed.take() is None
    watch.close_feed(feed)
    watch.notify(["c"])
    assert feed.take() == set()


async def test_whoever_has_lost_count_looks_at_everything(engine: Engine) -> None:
    found, runs = await Subscriptions().begin(engine, "key", EVERYTHING)
    assert runs == []
    run = await tagged(engine)
    found.feed.note_all()
    assert [each.id for each in await found.changes(engine, found.offset, 0)] == [run]
    assert await found.changes(engine, found.offset, 0) == []


async def test_a_late_change_is_found_though_no_news_came(engine: Engine) -> None:
    run = await tagged(engine)
    found, _ = await Subscriptions().begin(engine, "key", EVERYTHING)
    await engine.add_tags(run, ["more"])
    found.feed.take()  # as if the news had been lost
    engine._trust = 0.01  # as on a store of several servers
    (changed,) = await found.changes(engine, found.offset, 10)
    assert changed.tags == ["t", "more"]


async def test_subscriptions_nobody_asks_for_go(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Subscriptions()
    old, _ = await kept.begin(engine, "old", EVERYTHING)
    old.used_at -= 1000
    await kept.begin(engine, "new", EVERYTHING)
    assert list(kept._by_key) == ["new"]
    assert engine._runs._feeds == {kept._by_key["new"].feed}
    monkeypatch.setattr(subscriptions, "_MOST_SUBSCRIPTIONS", 2)
    for name in ("newer", "newest"):
        await kept.begin(engine, name, EVERYTHING)
    assert set(kept._by_key) == {"newer", "newest"}


async def test_runs_beyond_what_is_kept_are_forgotten_first_come_first(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subscriptions, "_MOST_SEEN", 2)
    runs = [await tagged(engine) for _ in range(3)]
    found, _ = await Subscriptions().begin(engine, "key", EVERYTHING)
    assert set(found.revs) == found.unfinished == set(runs[1:])


def test_offsets_are_read_as_they_were_written() -> None:
    assert Offset.parse(str(Offset(5, 2))) == Offset(5, 2)
    for text in ("-1", "5", "5_", "_", "a_1", "1_٣", "1_" + "9" * 50):
        assert Offset.parse(text) is None, text
