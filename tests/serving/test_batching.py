"""The queue before the network."""

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detr_kit.serving.batching import BatchingQueue


class Recorder:
    """Runs batches of (key, number), remembers them, and can be held at the first."""

    def __init__(self):
        self.batches = []
        self.go = threading.Event()
        self.started = threading.Event()

    def __call__(self, items):
        self.started.set()
        assert self.go.wait(10)
        self.batches.append(list(items))
        if ("bad", 0) in items:
            raise ValueError("a bad item")
        return [f"{key}{number}" for key, number in items]


@pytest.fixture
def recorder():
    return Recorder()


def held_queue(recorder, max_batch=4, max_wait=0.0):
    """A queue whose thread is busy with a first item, so that what follows is queued together."""
    queue = BatchingQueue(recorder, max_batch, max_wait)
    queue.submit(("first", 0), key="first")
    assert recorder.started.wait(10)
    return queue


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from("abc"), max_size=20), st.integers(1, 5))
def test_every_item_gets_its_own_result_and_batches_are_of_one_key(keys, max_batch):
    recorder = Recorder()
    queue = held_queue(recorder, max_batch)
    futures = [queue.submit((key, number), key=key) for number, key in enumerate(keys)]
    recorder.go.set()
    queue.close()
    assert [future.result(0) for future in futures] == [f"{key}{number}" for number, key in enumerate(keys)]
    for batch in recorder.batches:
        assert len({key for key, _ in batch}) == 1
        assert len(batch) <= max_batch
    # The first of each batch is the oldest that was left.
    firsts = [batch[0][1] for batch in recorder.batches[1:]]
    assert firsts == sorted(firsts)


def test_equal_keys_that_wait_together_share_a_batch(recorder):
    queue = held_queue(recorder, max_batch=3)
    for number, key in enumerate("abaaba"):
        queue.submit((key, number), key=key)
    recorder.go.set()
    queue.close()
    assert recorder.batches[1:] == [
        [("a", 0), ("a", 2), ("a", 3)],
        [("b", 1), ("b", 4)],
        [("a", 5)],
    ]


def test_an_item_waits_for_company_only_while_there_is_nothing_else_to_do(recorder):
    recorder.go.set()
    queue = BatchingQueue(recorder, max_batch=2, max_wait=60)
    assert [queue.submit(("a", n), key="a") for n in (0, 1)][1].result(10) == "a1"  # the batch is full
    alone = queue.submit(("a", 2), key="a")
    queue.submit(("b", 3), key="b")
    assert alone.result(10) == "a2"
    queue.close()  # and the last need not wait either


def test_a_bad_item_spoils_no_other(recorder):
    queue = held_queue(recorder)
    good, bad = queue.submit(("good", 1), key="k"), queue.submit(("bad", 0), key="k")
    recorder.go.set()
    assert good.result(10) == "good1"
    with pytest.raises(ValueError, match="a bad item"):
        bad.result(10)
    queue.close()


def test_what_is_given_up_is_not_run(recorder):
    queue = held_queue(recorder)
    given_up, kept = queue.submit(("a", 0), key="a"), queue.submit(("a", 1), key="a")
    assert given_up.cancel()
    queue.submit(("a", 2), key="a")
    assert len(queue) == 2  # its image is gone
    recorder.go.set()
    assert kept.result(10) == "a1"
    queue.close()
    assert all(("a", 0) not in batch for batch in recorder.batches)


def test_a_function_takes_its_turn_in_the_same_thread(recorder):
    queue = held_queue(recorder)
    before = queue.submit(("a", 0), key="a")
    alone = queue.submit_alone(lambda: (before.done(), threading.current_thread().name))
    recorder.go.set()
    assert alone.result(10) == (True, "detr-kit model")
    queue.close()
    assert not queue.alive
    with pytest.raises(RuntimeError, match="closed"):
        queue.submit(("a", 1), key="a")
