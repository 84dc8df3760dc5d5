"""Memory is reused, but never while a view of it exists."""

import tracemalloc

import numpy as np
import pytest
import torch

from training.streams.mixing import SPARE, Memory


@pytest.mark.parametrize("dtype", ["uint8", "float32"])
def test_memory_is_reused_when_its_last_view_is_released(dtype: str) -> None:
    memory = Memory()
    array = memory.empty((6, 5, 4), dtype)
    assert (array.shape, array.dtype) == ((6, 5, 4), np.dtype(dtype))
    address = array.ctypes.data
    tensor = torch.from_numpy(array[2:4].reshape(2, 20))[1]
    del array
    other = memory.empty((6, 5, 4), dtype)
    assert other.ctypes.data != address
    del tensor
    again = memory.empty((5, 5, 4), dtype)
    assert again.ctypes.data == address


def test_memory_that_is_too_small_is_not_used() -> None:
    memory = Memory()
    memory.empty((3,), "uint8")
    memory.empty((4,), "float32")[:] = 1.0
    assert memory.empty((4,), "float32").shape == (4,)
    assert memory.empty((100,), "float32").nbytes == 400
    assert memory.empty((0, 3), "uint8").shape == (0, 3)


def test_no_more_memory_is_kept_than_a_stream_uses_at_a_time() -> None:
    memory, megabyte = Memory(), 1_000_000
    tracemalloc.start()
    arrays = [memory.empty((megabyte,), "uint8") for _ in range(SPARE + 4)]
    assert len({array.ctypes.data for array in arrays}) == SPARE + 4
    del arrays
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert SPARE * megabyte <= kept < (SPARE + 1) * megabyte
