import pytest

from nas.cli.scaling.numbers import budgets, whole_numbers
from nas.errors import UsageError


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        (None, ()),
        ("2,4,6", (2, 4, 6)),
        ("6,2,2", (2, 6)),
        ("64:256:64", (64, 128, 192, 256)),
        ("1:3,8", (1, 2, 3, 8)),
    ],
)
def test_numbers_are_listed_or_ranged(text, numbers):
    assert whole_numbers(text, option="--depths") == numbers


@pytest.mark.parametrize("text", ["", "a", "0,1", "3:1", "1:2:3:4", "1:5:0", "1.5"])
def test_what_holds_no_positive_whole_number_is_refused(text):
    with pytest.raises(UsageError, match="--depths takes"):
        whole_numbers(text, option="--depths")


def test_budgets_are_put_together_in_order_and_their_ends_are_exact():
    assert budgets([7.0], "1:100:3") == pytest.approx([1.0, 7.0, 10.0, 100.0])
    assert budgets(None, "5.3:50.7:8")[-1] == 50.7


@pytest.mark.parametrize("spread", ["5", "5:1:3", "1:5:1", "0:5:3", "a:b:c"])
def test_a_spread_of_budgets_that_means_nothing_is_refused(spread):
    with pytest.raises(UsageError, match="--budgets takes"):
        budgets(None, spread)


def test_no_budget_and_a_budget_of_nothing_are_refused():
    with pytest.raises(UsageError, match="Say how much time"):
        budgets(None, None)
    with pytest.raises(UsageError, match="positive"):
        budgets([0.0], None)
