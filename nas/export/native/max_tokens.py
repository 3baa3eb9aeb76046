"""How many tokens the configurations allow for."""

from typing import Final

MAX_TOKENS: Final = 32768
"""Where nothing in the architecture sets a limit; engines reserve memory for as many unless told less."""
