"""The lines that are done, and the memory that they take."""

import hashlib

import pytest

from nupic_client.batch.done import DoneLines


def key(number):
    return hashlib.blake2b(str(number).encode(), digest_size=8).hexdigest()


def done_with(*keys):
    done = DoneLines()
    for each in keys:
        done.add(each)
    done.end()
    return done


@pytest.mark.parametrize("key", [int, key])
def test_what_was_added_is_taken_once(key):
    done = done_with(*(key(number) for number in range(1, 1000, 7)))
    assert len(done) == 143
    for number in range(1500):
        assert done.take(key(number)) == (number in range(1, 1000, 7))
        assert not done.take(key(number))


def test_what_was_added_twice_is_taken_twice():
    done = done_with(key(1), key(2), key(1), 5, 5)
    assert [done.take(key(1)) for _ in range(3)] == [True, True, False]
    assert [done.take(key(2)) for _ in range(2)] == [True, False]
    assert [done.take(5) for _ in range(2)] == [True, False]


def test_nothing_was_added():
    done = done_with()
    assert not done
    assert not done.take(1)
    assert not done.take(key(1))


def test_the_ends_of_the_hashes_are_found():
    ends = ["0" * 16, "f" * 16]
    done = done_with(*ends)
    assert all(done.take(end) for end in ends)


def test_ten_million_numbers_take_a_bit_each():
    done = DoneLines()
    for number in (1, 10_000_000):
        done.add(number)
    done.end()
    assert done.nbytes < 2_000_000
    assert done.take(10_000_000)


@pytest.mark.slow
def test_a_million_hashes_take_little_more_than_eight_bytes_each():
    done = DoneLines()
    for number in range(1_000_000):
        done.add(f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}")
    done.end()
    assert done.nbytes < 8.2 * 1_000_000
    assert all(
        done.take(f"{number * 0x9E3779B97F4A7C15 % 2**64:016x}") for number in range(0, 1_000_000, 1000)
    )
