import pytest

from nas.errors import ConfigError
from nas.winners.recipe import Source, load_recipe, read_recipe, recipe_names

BASE = "name: one\ndata: stdlib\nlearning_rate: 1e-3\nbatch_size: 2\nstages:\n  - {tokens: 1M, sequence_tokens: 32}\n"


@pytest.mark.parametrize("name", recipe_names())
def test_a_recipe_that_ships_is_read_back_unchanged(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert read_recipe(recipe.to_yaml(), where=name) == recipe


def test_nemotron_flash_is_trained_as_the_paper_says():
    recipe = load_recipe("nemotron-flash")
    assert (recipe.optimizer, recipe.weight_decay, recipe.weight_normalization) == ("adam", 0.0, True)
    assert (recipe.schedule, recipe.learning_rate, recipe.batch_tokens) == ("cosine", 1e-3, 2**21)
    assert [(stage.tokens, stage.sequence_tokens) for stage in recipe.stages] == [
        (4_475 * 10**9, 4096),
        (25 * 10**9, 29_696),
    ]


@pytest.mark.parametrize(
    ("words", "tokens"),
    [("3000", 3000), ("25B", 25 * 10**9), ("4.5T", 45 * 10**11), ("2e6", 2_000_000), ("1.5K", 1500)],
)
def test_tokens_are_whole_in_every_notation(words, tokens):
    assert read_recipe(BASE.replace("1M", words), where="test").stages[0].tokens == tokens


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["learning_rat=1"], "unknown key 'learning_rat'. Did you mean 'learning_rate'"),
        (["stages=[{tokens: 1M, sequence_tokns: 32}]"], "Did you mean 'sequence_tokens'"),
        (["checkpoints.kep=1"], "unknown key 'checkpoints.kep'. Did you mean 'keep'"),
        (["distillation={teacher: t, topk: 3}"], "Did you mean 'top_k'"),
        (["parallel.strategy=dpp"], "'ddp' or 'fsdp'"),
        (["stages=[{tokens: 1.5, sequence_tokens: 32}]"], "stages.0.tokens"),
        (["stages=[{tokens: manyB, sequence_tokens: 32}]"], "got 'manyB'"),
        (["stages=[]"], "at least 1 item"),
        (["batch_tokens=1M"], "got both"),
        (["batch_size=null"], "got neither"),
        (["stages=[{tokens: 1M, sequence_tokens: 32, batch_size: 1, batch_tokens: 64}]"], "A stage says"),
        (["optimizer=adam", "weight_decay=0.1"], "adam has no weight decay; got weight_decay 0.1"),
        (["weight_normalization=true", "weight_decay=0.1"], "takes the place of weight decay"),
        (["data=[{source: stdlib, weight: 0}]"], "data.0.weight"),
        (["ema_decay=1"], "less than 1"),
    ],
)
def test_what_a_recipe_may_not_say_is_named(overrides, words):
    with pytest.raises(ConfigError) as error:
        read_recipe(BASE, where="test", overrides=overrides)
    assert words in str(error.value)


def test_a_line_is_named():
    with pytest.raises(ConfigError, match=r"test: line 6, unknown key 'stages\.0\.token'"):
        read_recipe(BASE.replace("tokens: 1M", "tokens: 1M, token: 2"), where="test")


def test_an_override_is_named_in_the_place_of_a_line_and_said_once():
    with pytest.raises(ConfigError) as error:
        read_recipe(BASE, where="test", overrides=["stages=[{tokens: 1M, sequence_tokns: 32}]"])
    first, second = str(error.value).splitlines()
    assert first == "test: --set, stages.0.sequence_tokens is missing. Add it."
    assert second.startswith("--set, unknown key 'stages.0.sequence_tokns'. Did you mean 'sequence_tokens'?")


def test_a_source_is_a_mixture_of_one():
    recipe = read_recipe(BASE, where="test")
    assert recipe.data == (Source(source="stdlib"),)
    mixed = read_recipe(BASE.replace("stdlib", "[{source: stdlib, weight: 3}, {source: 'file:x'}]"), where="test")
    assert mixed.sources == ("stdlib", "file:x")


def test_paths_are_found_from_everywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    recipe = read_recipe(
        BASE.replace("stdlib", "file:x.txt"),
        where="test",
        overrides=["distillation={teacher: t}", "tokenizer=tokenizer.json"],
    ).resolved()
    assert recipe.sources == (f"file:{tmp_path}/x.txt",)
    assert recipe.distillation.teacher == f"{tmp_path}/t"
    assert recipe.tokenizer == f"{tmp_path}/tokenizer.json"


def test_an_unknown_recipe_names_those_that_ship():
    with pytest.raises(ConfigError, match="Did you mean 'quick-cpu'"):
        load_recipe("quick-cpus")
