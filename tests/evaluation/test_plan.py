"""By what an agent is judged."""

import pytest

from offline_prune.errors import InputError
from offline_prune.evaluation.plan import EvaluationPlan, check_evaluate, planned


@pytest.mark.parametrize(
    ("asked", "episodes", "off_policy"),
    [
        (0, 0, False),
        (7, 7, False),
        ("7", 7, False),
        ("env", 10, False),
        ("env(20)", 20, False),
        ("ope", 0, True),
        ("both", 10, True),
        ("both(3)", 3, True),
    ],
)
def test_what_is_asked_says_how_many_rollouts_and_whether_the_data_judge(
    asked, episodes, off_policy
):
    assert planned(asked) == EvaluationPlan(episodes, off_policy)
    assert planned(check_evaluate(asked)) == planned(asked)


def test_digits_of_a_command_line_are_a_number():
    assert check_evaluate("12") == 12
    assert check_evaluate("both(3)") == "both(3)"


@pytest.mark.parametrize(
    "wrong", [-1, 1.5, True, None, "opus", "ope(3)", "both(-1)", "both(a)", "both(1, 2)",
              "env(n=1)", "", "-3", "both(1.5)"],
)  # fmt: skip
def test_anything_else_is_refused_by_name(wrong):
    with pytest.raises(InputError):
        planned(wrong)
