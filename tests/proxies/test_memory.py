import sys

import pytest
import torch

from proxies.memory import PeakMemory, is_out_of_memory

CPU = torch.device("cpu")
MEBIBYTE = 2**20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can reset the mark")
def test_a_peak_is_seen_after_its_memory_is_gone_and_not_by_the_next_evaluation() -> None:
    first = PeakMemory(CPU)
    before = first.read_bytes()
    block = torch.ones(100 * MEBIBYTE // 4)
    del block
    peak = first.read_bytes()
    assert before is not None
    assert peak is not None
    assert peak - before == pytest.approx(100 * MEBIBYTE, rel=0.1)
    after = PeakMemory(CPU).read_bytes()
    assert after is not None
    assert after < peak - 50 * MEBIBYTE


def test_where_the_mark_cannot_be_reset_there_is_no_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        raise PermissionError

    monkeypatch.setattr("pathlib.Path.write_text", refuse)
    assert PeakMemory(CPU).read_bytes() is None


def test_an_allocation_that_cannot_succeed_is_known_as_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(2**60, dtype=torch.uint8)
    assert is_out_of_memory(caught.value)
    assert is_out_of_memory(torch.OutOfMemoryError("CUDA out of memory."))
    assert is_out_of_memory(MemoryError())
    assert not is_out_of_memory(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
