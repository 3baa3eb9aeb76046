"""What a hybrid head remembers."""

from dataclasses import dataclass
from typing import final

from operators.attention.state import KeyValueState
from operators.base import State
from operators.recurrent_state import RecurrentState


@final
@dataclass(slots=True, eq=False, kw_only=True)
class HybridHeadState(State):
    """The states of both branches; the cache may be another operator's."""

    cache: KeyValueState
    ssm: RecurrentState
