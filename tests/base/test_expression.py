import pytest

from offline_prune.base.expression import Expression, parse, plain_word
from offline_prune.errors import InputError


def test_a_name():
    assert parse(" snip ") == Expression("snip")


def test_hyphens_between_letters_are_underscores():
    assert parse("small-dense") == Expression("small_dense")
    found = parse("corrupted(iterative-snip, dataset='half-cheetah/x-v0')")
    assert found == Expression(
        "corrupted", (Expression("iterative_snip"),), {"dataset": "half-cheetah/x-v0"}
    )


def test_words_that_python_reads_otherwise():
    assert parse("global") == Expression("global")
    assert parse("constant-fan-in(layers=global, x=1e-5)") == Expression(
        "constant_fan_in", (), {"layers": Expression("global"), "x": 1e-5}
    )
    found = parse("global(global, path='global/a-b', other=\"a-b 'global'\", c='\\'a-b')")
    assert found == Expression(
        "global",
        (Expression("global"),),
        {"path": "global/a-b", "other": "a-b 'global'", "c": "'a-b"},
    )


def test_arguments_and_options():
    assert parse("force(rounds=20)") == Expression("force", (), {"rounds": 20})
    found = parse("corrupted(shuffled(grasp), rewards, dataset='lab/arm-v0')")
    inner = Expression("shuffled", (Expression("grasp"),))
    assert found == Expression(
        "corrupted", (inner, Expression("rewards")), {"dataset": "lab/arm-v0"}
    )


@pytest.mark.parametrize(
    "text",
    ["", "snip(", "1", "'snip'", "a.b", "a + b", "f(*x)", "f(lambda: 1)", "__import__('os').x"],
)
def test_anything_else_is_refused(text):
    with pytest.raises(InputError, match="pruning method"):
        parse(text)


def test_a_word_may_stand_for_its_name():
    call = parse("force(snip, 'grasp', erk(2), 3)")
    found = [plain_word(argument) for argument in call.arguments]
    assert found == ["snip", "grasp", parse("erk(2)"), 3]


@pytest.mark.parametrize("text", ["snip", "force(20, rounds=3)", "corrupted(snip(2), what=noise)"])
def test_it_says_how_it_is_written(text):
    assert str(parse(text)) == text


def test_words_among_its_arguments_become_their_names():
    found = parse("corrupted(snip, erk(2), what=noise, by=unit(3))").plain
    assert found.arguments == ("snip", parse("erk(2)"))
    assert found.options == {"what": "noise", "by": parse("unit(3)")}
