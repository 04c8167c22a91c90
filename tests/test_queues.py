"""Order and bounds of the queues, and the shared pool."""

from fractions import Fraction

import numpy as np
import pytest

from pipeline.pool import FramePool
from pipeline.queues import Queue, Slots, Ticket
from pipeline.timings import Timings


def ticket(index: int) -> Ticket:
    return Ticket(index, index * 512, Fraction(1, 12800), slot=index)


def test_queue_is_bounded_and_keeps_order() -> None:
    queue = Queue(4)
    queue.put([ticket(0), ticket(1), ticket(2)])
    assert [t.index for t in queue.take(2)] == [0, 1]
    assert queue.room == 3
    with pytest.raises(ValueError, match="capacity"):
        queue.put([ticket(i) for i in range(3, 7)])


def test_returned_tickets_go_first_again() -> None:
    queue = Queue(8)
    queue.put([ticket(i) for i in range(6)])
    first, second = queue.take(2), queue.take(2)
    queue.put_back(second)
    queue.put_back(first)
    assert [t.index for t in queue.take(8)] == [0, 1, 2, 3, 4, 5]


def test_slots_are_lent_and_given_back() -> None:
    slots = Slots(range(3))
    taken = slots.take(2)
    assert len(slots) == 1
    slots.give(taken)
    assert sorted(slots.take(3)) == [0, 1, 2]


def test_pool_is_shared_through_its_handle() -> None:
    pool = FramePool.create(3, 4, 5)
    other = FramePool(pool.handle)
    other[1][...] = np.arange(60, dtype=np.uint8).reshape(4, 5, 3)
    assert pool[1].sum() == np.arange(60).sum()
    assert pool[0].sum() == 0
    other.close()
    pool.close()
    with pytest.raises(ValueError, match="closed"):
        pool[0]


def test_timings_give_percentiles_in_constant_memory() -> None:
    timings = Timings()
    for i in range(1, 101):
        timings.add(i / 1000)
    assert timings.count == 100
    assert timings.percentile_ms(0.5) == pytest.approx(50, rel=0.03)
    assert timings.percentile_ms(0.95) == pytest.approx(95, rel=0.03)
