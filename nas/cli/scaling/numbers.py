"""Lists of numbers on the command line: `2,4,6` or `64:512:32`."""


def whole_numbers(text: str | None, *, option: str) -> tuple[int, ...]:
    """Return the integers of `2,4,6` or FROM:TO:STEP, both ends included; none for no text.

    Raises:
        UsageError: it is neither, or holds nothing above 0.
    """
    from nas.errors import UsageError

    if text is None:
        return ()
    found: set[int] = set()
    try:
        for part in text.split(","):
            ends = [int(number) for number in part.split(":")]
            if len(ends) > 3:
                raise ValueError
            step = ends[2] if len(ends) == 3 else 1
            found |= set(range(ends[0], ends[1] + 1, step)) if len(ends) > 1 else {ends[0]}
    except ValueError:
        found = set()
    if not found or min(found) < 1:
        raise UsageError(f"{option} takes positive whole numbers as 2,4,6 or FROM:TO:STEP; got {text!r}.")
    return tuple(sorted(found))


def budgets(single: list[float] | None, spread: str | None) -> list[float]:
    """Return the budgets of `--budget-ms` and of `--budgets FROM:TO:COUNT`, ascending; the latter spread by ratio.

    Raises:
        UsageError: neither is given, or they are no positive numbers.
    """
    import numpy as np

    from nas.errors import UsageError

    found = list(single or [])
    if spread is not None:
        try:
            low, high, num = spread.split(":")
            if not 0 < float(low) < float(high) or int(num) < 2:
                raise ValueError
            # Rounded outwards, so that the ends mean what was typed.
            found += [float(low), *np.geomspace(float(low), float(high), int(num)).tolist()[1:-1], float(high)]
        except ValueError:
            raise UsageError(f"--budgets takes FROM:TO:COUNT in milliseconds, as 5:50:8; got {spread!r}.") from None
    if not found:
        raise UsageError("Say how much time there is: --budget-ms X (more than once if you like), or --budgets A:B:N.")
    if min(found) <= 0:
        raise UsageError(f"A latency budget is positive; got {min(found):g}.")
    return sorted(set(found))
