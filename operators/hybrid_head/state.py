"""What a hybrid head remembers."""

from dataclasses import dataclass
from typing import final

from operators.attention.state import KeyValueState
from operators.base import State
from operators.mamba1.state import Mamba1State
from operators.mamba2.state import Mamba2State


@final
@dataclass(slots=True, eq=False, kw_only=True)
class HybridHeadState(State):
    """The states of both branches; the cache may be another operator's."""

    cache: KeyValueState
    ssm: Mamba1State | Mamba2State
