import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from nas.config import check_resumable, configuration_names, configuration_text, load_config, read_config
from nas.errors import ConfigError
from search_spaces.errors import SpecError

MINIMAL = """\
name: small
space: quick-cpu
latency:
  workload:
    phase: decode
    generated_tokens: 8
budget:
  evaluations: 4
"""


def read(text, *overrides):
    return read_config(text, where="my.yaml", overrides=overrides)


@pytest.mark.parametrize("name", configuration_names())
def test_every_configuration_that_ships_is_valid_and_survives_a_round_trip(name):
    config = load_config(name)
    assert read(config.to_yaml()) == config
    resolved = config.resolved()
    assert isinstance(resolved.space, dict)
    assert read(resolved.to_yaml()) == resolved
    assert resolved.load_space() == config.load_space()


def test_defaults_are_written_out():
    content = yaml.safe_load(read(MINIMAL).resolved().to_yaml())
    assert content["proxy"]["training"]["learning_rate"] == 5e-3
    assert content["space"]["space"] == "staged"
    assert content["resources"]["executor"] == "ray"


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("budget:", "budgets:", "line 7, unknown key 'budgets'. Did you mean 'budget'?"),
        ("evaluations: 4", "evaluation: 4", "line 8, unknown key 'budget.evaluation'. Did you mean 'evaluations'?"),
        ("phase: decode", "fase: decode", "line 5, unknown key 'latency.workload.fase'. Did you mean 'phase'?"),
        ("generated_tokens: 8", "generated_tokens: many", "line 6, latency.workload.generated_tokens"),
        ("evaluations: 4", "evaluations: 4.5", "line 8, budget.evaluations"),
        (
            "evaluations: 4",
            "evaluations: 0",
            "line 8, budget.evaluations: Input should be greater than or equal to 1; got 0",
        ),
        ("name: small\n", "", "name is missing. Add it."),
        (
            "phase: decode",
            "phase: decod",
            "line 5, latency.workload.phase: Input should be 'prefill', 'decode' or 'both'",
        ),
        ("space: quick-cpu", "space: quik-cpu", "Did you mean 'quick-cpu'?"),
    ],
)
def test_an_error_names_the_line_the_value_and_the_near_miss(old, new, message):
    assert old in MINIMAL
    with pytest.raises((ConfigError, SpecError)) as error:
        read(MINIMAL.replace(old, new))
    assert "my.yaml" in str(error.value)
    assert message in str(error.value)


def test_a_key_given_twice_fails_with_both_lines():
    with pytest.raises(SpecError, match=r"my\.yaml, line 9: the key 'name' was given in line 1 already"):
        read(MINIMAL + "name: again\n")


def test_text_that_is_no_yaml_fails():
    with pytest.raises(SpecError, match=r"my\.yaml must be YAML"):
        read("name: [1,\n")


def test_several_errors_are_told_at_once():
    with pytest.raises(ConfigError) as error:
        read(MINIMAL.replace("name:", "nam:").replace("evaluations", "evaluation"))
    assert len(str(error.value).splitlines()) == 4


@pytest.mark.parametrize(
    ("addition", "message"),
    [
        ("strategy: {name: agin}\n", "Unknown strategy 'agin'. Did you mean 'aging'?"),
        ("strategy: {name: random, population_size: 3}\n", "no setting 'population_size'. It takes none."),
        ("strategy: {name: aging}\n", "got no constraints.latency_ms"),
        ("constraints: {latency: 3}\n", "constraints cannot bound 'latency'. Did you mean 'latency_ms'?"),
        ("constraints: {latency_ms: fast}\n", "constraints.latency_ms must be a number; got 'fast'"),
        ("constraints: {memory: 22}\n", "constraints.memory must read 'N tokens within X GiB in bf16'"),
        ("resources: {cpus_per_candidate: 0}\n", "resources.cpus_per_candidate"),
        ("proxy: {training: {learning_rate: -1}}\n", "learning_rate must be a positive number; got -1"),
        ("proxy: {training: {step: 1}}\n", "Did you mean 'steps'?"),
    ],
)
def test_what_does_not_fit_together_is_refused(addition, message):
    with pytest.raises(ConfigError) as error:
        read(MINIMAL + addition)
    assert message in str(error.value)


def test_overrides_are_yaml_and_checked_like_the_file():
    config = read(MINIMAL, "budget.evaluations=7", "proxy.training.steps=12", "proxy.training.learning_rate=1e-3")
    training = config.proxy.training
    assert (config.budget.evaluations, training.steps, training.learning_rate) == (7, 12, 1e-3)
    with pytest.raises(ConfigError, match=r"--set, unknown key 'budget\.evals'"):
        read(MINIMAL, "budget.evals=7")
    with pytest.raises(ConfigError, match=r"--set takes a\.b=value; got 'budget'"):
        read(MINIMAL, "budget")
    with pytest.raises(ConfigError, match="'name' holds a value, not a section"):
        read(MINIMAL, "name.first=7")


def test_a_line_bounds_memory_beside_the_numbers():
    config = read(MINIMAL, "constraints={latency_ms: 3, memory: 128k tokens within 22 GiB in bf16}")
    assert config.bounds == {"latency_ms": 3.0, "memory_gib": 22.0}
    assert config.memory_bound.max_tokens == 131_072
    assert read(config.to_yaml()) == config
    assert read(MINIMAL).bounds == {}
    assert read(MINIMAL).memory_bound is None


def test_on_resume_what_may_not_change_is_named_with_both_values():
    before = read(MINIMAL)
    check_resumable(before, read(MINIMAL, "budget.evaluations=9", "resources.executor=inprocess"), num_begun=4)
    with pytest.raises(ConfigError) as found:
        check_resumable(before, read(MINIMAL, "seed=1", "proxy.training.steps=200"), num_begun=4)
    assert f"proxy.training.steps: {before.proxy.training.steps} -> 200" in str(found.value)
    assert "seed: 0 -> 1" in str(found.value)
    assert "only budget, resources, failures, study.storage, proxy.fidelity may change" in str(found.value)


def test_on_resume_a_field_that_an_earlier_version_did_not_write_is_no_change():
    space = read(MINIMAL).resolved().space
    earlier = json.dumps({name: value for name, value in space.items() if name != "norm_eps"})
    before = read(MINIMAL, f"space={earlier}")
    check_resumable(before, read(MINIMAL, f"space={json.dumps(space)}"), num_begun=4)
    check_resumable(before, before.resolved(), num_begun=4)
    with pytest.raises(ConfigError, match=r"space.norm_eps: 1e-06 -> 1e-05"):
        check_resumable(before, read(MINIMAL, f"space={earlier}", "space.norm_eps=1e-5"), num_begun=4)


def test_on_resume_the_same_study_may_lie_elsewhere_but_be_no_other():
    before = read(MINIMAL, "study.storage=postgresql://a@one/runs", "study.name=mine")
    after = read(MINIMAL, "study.storage=postgresql://b:secret@two/runs", "study.name=mine")
    check_resumable(before, after, num_begun=4)
    with pytest.raises(ConfigError, match=r"study.name: mine -> yours"):
        check_resumable(before, read(MINIMAL, "study.storage=postgresql://a@one/runs", "study.name=yours"), num_begun=4)


def test_a_study_is_named_like_its_search_and_in_a_journal_always_alike():
    assert read(MINIMAL).study_name == "search"
    assert read(MINIMAL, "study.storage=postgresql://a@one/runs").study_name == read(MINIMAL).name
    assert read(MINIMAL, "study.storage=postgresql://a@one/runs", "study.name=mine").study_name == "mine"


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("sqlite:///study.db", "a file for one machine"),
        ("mysql://me:secret@host/runs", "mysql://me:\\*\\*\\*@host/runs"),
        ("postgresql://host", "names a database"),
        ("study.journal", "lies in PostgreSQL"),
    ],
)
def test_another_storage_is_refused_without_its_password(url, words):
    with pytest.raises(ConfigError, match=words) as found:
        read(MINIMAL, f"study.storage={url}")
    assert "secret" not in str(found.value)


def test_a_study_named_without_a_database_is_refused():
    with pytest.raises(ConfigError, match=r"without study\.storage"):
        read(MINIMAL, "study.name=mine")


def test_on_resume_the_budget_may_not_fall_below_what_was_begun():
    before = read(MINIMAL)
    check_resumable(before, read(MINIMAL, "budget.evaluations=3"), num_begun=3)
    with pytest.raises(ConfigError, match="at least the 4 candidates begun; got 3"):
        check_resumable(before, read(MINIMAL, "budget.evaluations=3"), num_begun=4)


def test_a_configuration_that_is_not_there_names_those_that_ship():
    with pytest.raises(ConfigError, match="Did you mean 'quick-cpu'"):
        configuration_text("quick-cpus")


@given(st.text(max_size=60))
def test_no_text_makes_the_reader_fail_otherwise_than_by_an_error_of_ours(text):
    with pytest.raises((ConfigError, SpecError)):
        read(text)


def test_the_schema_describes_every_section():
    from nas.config import SearchConfig

    schema = json.loads(json.dumps(SearchConfig.model_json_schema()))
    assert {"space", "latency", "proxy", "strategy", "budget", "resources"} <= set(schema["properties"])


def test_a_candidate_with_several_gpus_is_trained_by_a_process_for_each():
    gpus = ("resources.gpus_per_candidate=4", "proxy.training.batch_size=8")
    config = read(MINIMAL, *gpus)
    assert config.training_settings().num_processes == 4
    assert config.proxy.training.num_processes is None
    assert read(MINIMAL, *gpus, "proxy.training.num_processes=2").training_settings().num_processes == 2
    assert read(MINIMAL, *gpus, "proxy.training.device=cpu").training_settings().num_processes is None
    assert read(MINIMAL, "resources.gpus_per_candidate=0.5").training_settings().num_processes is None


def test_a_batch_that_a_candidates_gpus_cannot_share_is_refused_before_anything_runs():
    with pytest.raises(ConfigError, match=r"a multiple of the 4 processes .*; got 6\. Nearest: 4, 8\."):
        read(MINIMAL, "resources.gpus_per_candidate=4", "proxy.training.batch_size=6")


MEMORY = "constraints={memory: 4k tokens within 8 GiB in bf16}"


def test_objectives_are_perplexity_and_others_that_cost_nothing():
    assert load_config("quick-cpu").objectives == ("perplexity", "latency_ms")
    named = ["perplexity", "num_parameters", "memory_gib"]
    config = load_config("quick-cpu", overrides=[f"objectives=[{', '.join(named)}]", MEMORY])
    assert config.objectives == tuple(named)


@pytest.mark.parametrize(
    ("objectives", "words"),
    [
        ("[latency_ms, perplexity]", "objectives are perplexity, then one or more of"),
        ("[perplexity]", "got perplexity"),
        ("[perplexity, latency_ms, latency_ms]", "each once"),
        ("[perplexity, latency]", r"cannot hold 'latency'. Did you mean 'latency_ms'"),
        ("[perplexity, memory_gib]", r"needs to know of what: set constraints.memory"),
    ],
)
def test_objectives_that_mean_nothing_are_refused(objectives, words):
    with pytest.raises(ConfigError, match=words):
        load_config("quick-cpu", overrides=[f"objectives={objectives}"])


def test_failures_are_given_by_kind_and_lost_workers_by_resources():
    config = load_config("quick-cpu", overrides=["failures={timeout: {retries: 2}}", "resources.max_retries=7"])
    assert config.failure_policies["timeout"].retries == 2
    assert config.failure_policies["lost_worker"].retries == 7
    with pytest.raises(ConfigError, match=r"set that instead of retries"):
        load_config("quick-cpu", overrides=["failures={lost_worker: {retries: 2}}"])
    with pytest.raises(ConfigError, match="Unknown kind of failure 'crash'"):
        load_config("quick-cpu", overrides=["failures={crash: {retries: 2}}"])


def test_halving_is_off_unless_asked_for_and_compares_costs_only():
    assert load_config("quick-cpu").halving is None
    halving = load_config("quick-cpu", overrides=["proxy.halving={}"]).halving
    assert halving.costs == ("latency_ms",)
    assert (halving.rungs, halving.explore) == ((0.11, 0.2, 0.33), 0.04)


def test_fidelity_is_off_unless_asked_for_and_may_change_on_resume():
    off = load_config("quick-cpu")
    assert off.proxy.fidelity is None
    on = load_config("quick-cpu", overrides=["proxy.fidelity={}"])
    section = on.proxy.fidelity
    assert (section.every, section.candidates, section.tokens_multiple) == (50, 4, 4.0)
    check_resumable(off, on, num_begun=4)


@pytest.mark.parametrize(
    ("section", "words"),
    [
        ("{every: 3, candidates: 4}", "Raise every, or lower candidates"),
        ("{tokens_multiple: 1}", "greater than 1"),
        ("{evry: 3}", "every"),
    ],
)
def test_rounds_of_longer_training_that_make_no_sense_are_refused(section, words):
    with pytest.raises(ConfigError, match=words):
        load_config("quick-cpu", overrides=[f"proxy.fidelity={section}"])


def test_rungs_out_of_order_are_refused_with_their_line():
    with pytest.raises(ConfigError, match=r"ascending shares .* got \(0\.5, 0\.1\)"):
        load_config("quick-cpu", overrides=["proxy.halving={rungs: [0.5, 0.1]}"])
