from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from search_spaces import Architecture, AttentionSpec, FFNSpec
from search_spaces.edits import Edit, Kept, apply_edit, drop_broken_links
from search_spaces.specs import OperatorSpec, kv_source, with_kv_source

ATTENTION = AttentionSpec(num_heads=4, num_kv_heads=2, head_dim=8)
FFN = FFNSpec(intermediate_size=32)
SHARED = (ATTENTION, FFN, with_kv_source(ATTENTION, 0), FFN, ATTENTION, with_kv_source(ATTENTION, 4))


def keep(*indices: int) -> list[Edit]:
    return [Kept(index) for index in indices]


def sources(operators: tuple[OperatorSpec, ...]) -> list[int | None]:
    return [kv_source(spec) for spec in operators]


def test_nothing_edited_is_nothing_changed() -> None:
    assert apply_edit(SHARED, keep(0, 1, 2, 3, 4, 5)) == SHARED


def test_an_insertion_moves_the_links_behind_it() -> None:
    assert sources(apply_edit(SHARED, [FFN, *keep(0, 1, 2, 3, 4, 5)])) == [None, None, None, 1, None, None, 5]
    assert sources(apply_edit(SHARED, [*keep(0, 1, 2, 3), FFN, *keep(4, 5)])) == [None, None, 0, None, None, None, 5]


def test_a_link_whose_source_is_gone_or_replaced_is_dropped() -> None:
    assert sources(apply_edit(SHARED, keep(1, 2, 3, 4, 5))) == [None, None, None, None, 3]
    assert sources(apply_edit(SHARED, [ATTENTION, *keep(1, 2, 3, 4, 5)])) == [None, None, None, None, None, 4]


def test_a_link_is_dropped_when_its_source_moves_behind() -> None:
    assert sources(apply_edit(SHARED, keep(2, 1, 0, 3, 4, 5))) == [None, None, None, None, None, 4]


def test_a_link_between_other_shapes_is_dropped() -> None:
    wider = replace(ATTENTION, num_kv_heads=4)
    assert sources(drop_broken_links((wider, *SHARED[1:]))) == [None, None, None, None, None, 4]
    assert drop_broken_links(SHARED) == SHARED


@given(st.permutations(range(6)), st.integers(0, 6), st.sets(st.integers(0, 6)))
def test_any_edit_leaves_a_legal_architecture(order: list[int], position: int, removed: set[int]) -> None:
    edit: list[Edit] = keep(*order)
    edit.insert(position, ATTENTION)
    edit = [entry for index, entry in enumerate(edit) if index not in removed] or [FFN]
    operators = apply_edit(SHARED, edit)
    Architecture(hidden_size=32, operators=operators, vocab_size=8)
    assert [spec.letter for spec in operators] == [
        SHARED[entry.index].letter if isinstance(entry, Kept) else entry.letter for entry in edit
    ]
