"""Frames: whole, in pieces, many at once, with file descriptors."""

import asyncio
import os
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from triggerdev.protocol import Message
from triggerdev.worker import channel
from triggerdev.worker.channel import (
    AsyncChannel,
    BlockingChannel,
    ControlChannel,
    FrameBuffer,
    encode_frame,
)

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    left, right = socket.socketpair()
    yield left, right
    left.close()
    right.close()


class Collector:
    """Collects what an AsyncChannel hears, one entry for each read."""

    def __init__(self) -> None:
        self.reads: list[list[Message]] = []
        self.closed = asyncio.Event()
        self._changed = asyncio.Event()

    def take(self, messages: list[Message]) -> None:
        self.reads.append(messages)
        self._changed.set()

    async def count(self, wanted: int) -> list[Message]:
        async with asyncio.timeout(10):
            while sum(map(len, self.reads)) < wanted:
                self._changed.clear()
                await self._changed.wait()
        return [message for read in self.reads for message in read]


def test_a_frame_may_arrive_byte_by_byte() -> None:
    buffer = FrameBuffer()
    frame = encode_frame([{"t": "start", "text": "zwölf"}, {"t": "end"}])
    taken: list[Message] = []
    for index in range(len(frame)):
        buffer.feed(frame[index : index + 1])
        taken += buffer.take()
        assert bool(taken) == (index == len(frame) - 1)
    assert taken == [{"t": "start", "text": "zwölf"}, {"t": "end"}]


def test_many_frames_may_arrive_at_once() -> None:
    buffer = FrameBuffer()
    buffer.feed(b"".join(encode_frame([{"t": "n", "n": n}]) for n in range(100)) + b"\0\0")
    assert [message["n"] for message in buffer.take()] == list(range(100))
    assert buffer.take() == []


def test_a_message_can_be_longer_than_a_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "MAX_FRAME_BYTES", 100)
    long = {"t": "start", "text": "zwölf" * 70}
    data = encode_frame([long]) + encode_frame([{"t": "end"}])
    buffer = FrameBuffer()
    taken: list[Message] = []
    for index in range(len(data)):
        buffer.feed(data[index : index + 1])
        taken += buffer.take()
    assert taken == [long, {"t": "end"}]


def test_a_length_beyond_all_measure_is_refused() -> None:
    buffer = FrameBuffer()
    buffer.feed(b"\xff\xff\xff\xff")
    with pytest.raises(ValueError, match="at most"):
        buffer.take()


async def test_what_one_turn_of_the_loop_sends_is_one_frame(pair: Pair) -> None:
    heard = Collector()
    sender = AsyncChannel(pair[0], lambda _: None, lambda: None)
    receiver = AsyncChannel(pair[1], heard.take, heard.closed.set)
    for n in range(10):
        sender.send({"t": "n", "n": n})
    await heard.count(10)
    assert [len(read) for read in heard.reads] == [10]
    sender.close()
    await heard.closed.wait()
    assert receiver.is_closed


async def test_a_large_message_goes_through_a_small_socket_buffer(pair: Pair) -> None:
    heard = Collector()
    sender = AsyncChannel(pair[0], lambda _: None, lambda: None)
    receiver = AsyncChannel(pair[1], heard.take, heard.closed.set)
    text = "x" * 5_000_000
    sender.send({"t": "big", "text": text})
    sender.flush()
    sender.send({"t": "after"})
    messages = await heard.count(2)
    assert messages[0]["text"] == text
    assert messages[1] == {"t": "after"}
    sender.close()
    receiver.close()


async def test_descriptors_stay_with_their_frame(pair: Pair) -> None:
    sender = AsyncChannel(pair[0], lambda _: None, lambda: None)
    control = ControlChannel(pair[1])
    reads = []
    for n in range(3):
        read, write = os.pipe()
        reads.append(read)
        sender.send_fds({"t": "take", "n": n}, [write])
        sender.send({"t": "none", "n": n})
        sender.flush()
    for n in range(3):
        messages, fds = control.receive() or ([], [])
        assert messages == [{"t": "take", "n": n}]
        os.write(fds[0], str(n).encode())
        os.close(fds[0])
        assert os.read(reads[n], 10) == str(n).encode()
        os.close(reads[n])
        assert control.receive() == ([{"t": "none", "n": n}], [])
    sender.close()
    assert control.receive() is None


async def test_garbage_from_a_process_counts_as_its_end(pair: Pair) -> None:
    heard = Collector()
    AsyncChannel(pair[0], heard.take, heard.closed.set)
    pair[1].sendall(b"\0\0\0\5hello")
    async with asyncio.timeout(10):
        await heard.closed.wait()
    assert heard.reads == []


async def test_another_thread_can_send_while_the_loop_is_blocked(pair: Pair) -> None:
    channel = AsyncChannel(pair[0], lambda _: None, lambda: None)
    other = BlockingChannel(pair[1])
    channel.send({"t": "queued"})
    thread = threading.Thread(target=channel.send_from_thread, args=({"t": "urgent"},))
    thread.start()
    thread.join()  # the loop does nothing meanwhile
    assert [other.receive(), other.receive()] == [{"t": "queued"}, {"t": "urgent"}]
    channel.close()


def test_blocking_sends_of_many_threads_do_not_mix(pair: Pair) -> None:
    sender, receiver = BlockingChannel(pair[0]), BlockingChannel(pair[1])

    def send(thread: int) -> None:
        for n in range(50):
            sender.send({"t": "n", "thread": thread, "n": n, "text": "x" * 3000})

    threads = [threading.Thread(target=send, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    received = [receiver.receive() for _ in range(200)]
    for thread in threads:
        thread.join()
    for number in range(4):
        assert [message["n"] for message in received if message["thread"] == number] == list(range(50))


def test_an_interrupt_waits_for_the_end_of_a_frame(pair: Pair) -> None:
    sender, receiver = BlockingChannel(pair[0]), BlockingChannel(pair[1])

    class Interrupt(BaseException):
        pass

    def interrupt() -> None:
        raise Interrupt

    class Socket:
        def sendall(self, data: bytes) -> None:
            assert sender.busy
            sender.defer(interrupt)
            pair[0].sendall(data)

    fake: Any = Socket()
    sender._sock = fake
    with pytest.raises(Interrupt):
        sender.send({"t": "whole"})
    assert receiver.receive() == {"t": "whole"}
    assert not sender.busy


def test_the_end_of_the_other_side_is_an_end_of_file(pair: Pair) -> None:
    receiver = BlockingChannel(pair[1])
    pair[0].sendall(encode_frame([{"t": "last"}]))
    pair[0].close()
    assert receiver.receive() == {"t": "last"}
    with pytest.raises(EOFError):
        receiver.receive()


def test_a_control_socket_whose_other_side_went_without_reading_is_at_its_end(pair: Pair) -> None:
    control = ControlChannel(pair[1])
    control.send({"t": "not read"})
    pair[0].close()
    assert control.receive() is None


def test_messages_that_are_too_long_for_one_frame_leave_in_several(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channel, "MAX_FRAME_BYTES", 100)
    messages = [{"t": "done", "output": "x" * 60, "n": n} for n in range(5)]
    buffer = FrameBuffer()
    buffer.feed(encode_frame(messages))
    assert buffer.take() == messages
