import json
import resource
import time
from dataclasses import replace

import pytest
import torch

from nas.errors import CheckpointError, ConfigError, RunDirectoryError
from nas.winners.errors import DataEndedError, TrainingError
from nas.winners.weights import load_model, save_model
from operators.model import HybridLM
from proxies.errors import DataError
from proxies.json_tokenizer import tokenizer_of
from search_spaces import NasError, UnavailableError

MIXTURE = "data=[{{source: {first}, weight: 3}}, {{source: {second}}}]"
STAGES = "stages=[{tokens: 1536, sequence_tokens: 32}, {tokens: 768, sequence_tokens: 64, batch_size: 4}]"


@pytest.mark.parametrize(
    ("stop_after", "overrides"),
    [
        (12, ["ema_decay=0.9", "num_micro_batches=2", "weight_decay=0.1", "validation.every=6"]),
        (7, ["optimizer=muon", MIXTURE, STAGES, "sampling=epochs"]),
        (17, ["optimizer=adam", "weight_normalization=true", "z_loss=1e-3", MIXTURE, STAGES, "log_every=4"]),
    ],
    ids=["average", "muon", "normalized"],
)
def test_an_interrupted_training_goes_on_bit_for_bit(small, stop_after, overrides):
    overrides = [each.format(**small.sources) if each == MIXTURE else each for each in overrides]
    whole = small.train("whole", *overrides)
    assert whole.status == "finished"
    assert whole.step - stop_after >= 5
    end = small.train("parts", *overrides, stop_after=stop_after)
    assert (end.status, end.step) == ("interrupted", stop_after)
    end = small.train("parts", *overrides, resume=True)
    assert small.log("parts") == small.log("whole")
    assert end.validation == whole.validation
    expected, _ = load_model(whole.checkpoint)
    found, _ = load_model(end.checkpoint)
    for name, weight in expected.state_dict().items():
        assert torch.equal(found.state_dict()[name], weight), name


class PowerCutError(Exception):
    pass


def cut() -> None:
    raise PowerCutError


@pytest.fixture(scope="module")
def whole(tmp_path_factory, sources, make_small):
    """The log of a training that nothing interrupts."""
    small = make_small(tmp_path_factory.mktemp("whole"), sources)
    small.train("whole")
    return small.log("whole")


def test_after_a_crash_between_checkpoints_lost_steps_are_done_again(small, notices, whole):
    with pytest.raises(PowerCutError):
        small.train("parts", notices=notices({13: cut}))
    assert small.log("parts")[-1]["step"] == 13
    small.train("parts", resume=True)
    assert small.log("parts") == whole


def test_a_training_that_never_began_begins_on_resume(small):
    assert small.train("one", resume=True).status == "finished"
    again = small.train("one", resume=True)
    assert (again.status, again.step) == ("finished", 20)


def test_the_newest_checkpoints_are_kept_and_are_models(small):
    end = small.train("one", "checkpoints.keep=3")
    assert small.checkpoints("one") == ["step-10", "step-15", "step-20"]
    model, described = load_model(small.folder / "one")
    assert described.folder == end.checkpoint
    assert described.provenance["step"] == 20
    assert described.provenance["validation_loss"] == end.validation.loss
    assert model.architecture == small.architecture


def test_the_checkpoint_of_a_training_with_an_average_holds_the_average(small):
    end = small.train("one", "ema_decay=0.9")
    average, _ = load_model(end.checkpoint)
    other = small.train("two")
    last, _ = load_model(other.checkpoint)
    assert not torch.equal(average.embedding, last.embedding)
    assert small.log("one")[0]["loss"] == small.log("two")[0]["loss"]
    assert end.validation.loss != other.validation.loss


def _replace(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    "how", ["cut short", "changed", "no state", "no tensors", "another model", "another state", "half a state"]
)
def test_a_damaged_checkpoint_is_said_and_the_one_before_is_used(small, notices, whole, how):
    small.train("parts", stop_after=17)
    newest = small.folder / "parts" / "checkpoints" / "step-17"
    weights = newest / "model-00001-of-00001.safetensors"
    match how:
        case "cut short":
            weights.write_bytes(weights.read_bytes()[:-100])
        case "changed":
            content = bytearray(weights.read_bytes())
            content[-1] ^= 1
            weights.write_bytes(content)
        case "no state":
            (newest / "training" / "state.json").unlink()
        case "no tensors":
            next((newest / "training").glob("*.safetensors")).unlink()
        case "another model":
            _replace(newest / "model.json", '"recipe": "small"', '"recipe": "smalk"')
        case "another state":
            _replace(newest / "training" / "state.json", '"step": 17', '"step": 16')
        case "half a state":
            _replace(newest / "training" / "state.json", '"files"', '"filet"')
    heard = notices()
    small.train("parts", resume=True, notices=heard)
    (said,) = heard.said
    assert said.startswith("The checkpoint of step 17 is damaged (")
    assert small.log("parts") == whole
    assert "step-17.damaged" in small.checkpoints("parts")


def test_a_checkpoint_left_half_written_is_said_and_removed(small, notices):
    small.train("parts", stop_after=7)
    half = small.folder / "parts" / "checkpoints" / "step-9.partial"
    half.mkdir()
    (half / "model-00001-of-00001.safetensors").write_bytes(b"half")
    heard = notices()
    small.train("parts", resume=True, notices=heard)
    assert heard.said == ["step-9.partial was left half written by an interruption and is removed."]
    assert not half.exists()


def test_without_a_whole_checkpoint_nothing_is_begun_anew_in_silence(small):
    small.train("parts", stop_after=3)
    (small.folder / "parts" / "checkpoints" / "step-3" / "model.json").unlink()
    with pytest.raises(CheckpointError, match="None of the checkpoints"):
        small.train("parts", resume=True)


def test_nor_is_it_when_the_same_command_is_run_again(small):
    small.train("parts", "log_every=100", stop_after=3)
    (small.folder / "parts" / "checkpoints" / "step-3" / "model.json").unlink()
    for _ in range(2):
        with pytest.raises(CheckpointError, match="None of the checkpoints"):
            small.train("parts", "log_every=100", resume=True)
    assert small.checkpoints("parts") == ["step-3.damaged"]


@pytest.mark.parametrize("name", ["recipe.yaml", "architecture.yaml"])
def test_a_damaged_folder_says_which_file(small, name):
    small.train("one", stop_after=1)
    file = small.folder / "one" / name
    for content in (b"\xff", b"half: 1"):
        file.write_bytes(content)
        with pytest.raises(NasError, match=name):
            small.train("one", resume=True)
    file.unlink()
    with pytest.raises(RunDirectoryError, match=r"architecture.yaml cannot be read|\. Choose another --output"):
        small.train("one", resume=True)


def test_another_architecture_is_refused(small):
    small.train("parts", stop_after=3)
    wider = replace(small.architecture, num_meta_tokens=2)
    with pytest.raises(CheckpointError, match="has num_meta_tokens 0, asked for is 2"):
        small.train("parts", resume=True, architecture=wider)
    described = small.folder / "parts" / "architecture.yaml"
    described.write_text(described.read_text().replace("num_meta_tokens: 0", "num_meta_tokens: 2"))
    with pytest.raises(CheckpointError, match="step-3 has num_meta_tokens 0"):
        small.train("parts", resume=True, architecture=wider)


def test_another_recipe_is_refused_and_what_may_change_may(small):
    small.train("parts", stop_after=3)
    with pytest.raises(ConfigError, match="seed: 0 -> 1"):
        small.train("parts", "seed=1", resume=True)
    with pytest.raises(ConfigError, match="stage 1 differs"):
        small.train("parts", "stages=[{tokens: 1280, sequence_tokens: 64}]", resume=True)
    longer = "stages=[{tokens: 1280, sequence_tokens: 32}, {tokens: 128, sequence_tokens: 64}]"
    end = small.train("parts", longer, "learning_rate=1e-3", resume=True)
    assert end.step == 21
    assert small.log("parts")[-2]["stage"] == 2


def test_an_existing_folder_is_refused(small):
    small.train("one", stop_after=2)
    with pytest.raises(RunDirectoryError, match="Continue that training with --resume"):
        small.train("one")


def test_a_divergence_keeps_the_last_good_checkpoint_and_says_the_step(small):
    small.train("one", stop_after=7)
    with pytest.raises(TrainingError, match=r"Diverged in step 9 of 20: .* The checkpoint of step 7 is kept"):
        small.train("one", "learning_rate=1e30", resume=True)
    assert small.checkpoints("one") == ["step-5", "step-7"]
    assert small.train("one", "learning_rate=1e-3", resume=True).status == "finished"


def test_a_divergence_before_any_checkpoint_does_not_speak_of_one_to_go_on_from(small):
    with pytest.raises(TrainingError, match=r"in step 2 of 20: .* no checkpoint before it\. Begin again with a lower"):
        small.train("one", "learning_rate=1e30", "log_every=100", "checkpoints.every_steps=2")


def test_data_that_ends_keeps_what_was_done(small):
    # Also where the last step was a checkpoint anyway, and where nothing is left to do.
    once = ("sampling=once", "stages=[{tokens: 64000, sequence_tokens: 128}]", "checkpoints.every_steps=1")
    for resume in (False, True):
        with pytest.raises(DataEndedError, match=r"has \d+ sequences of 128 tokens, .* The \d+ steps done are kept"):
            small.train("one", *once, resume=resume)
    state = json.loads(next((small.folder / "one").glob("checkpoints/*/training/state.json")).read_text())
    assert state["step"] > 20


def test_a_full_disk_ends_the_training_with_one_error_and_keeps_the_checkpoint_before(small, notices, whole):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)

    def fill() -> None:
        while "step-5" not in small.checkpoints("one"):
            time.sleep(0.01)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))

    try:
        with pytest.raises(TrainingError, match=r"step 10 could not be written.*step-5 is whole.*Free space"):
            small.train("one", notices=notices({6: fill}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert small.checkpoints("one") == ["step-5"]
    small.train("one", resume=True)
    assert small.log("one") == whole


def test_a_log_that_cannot_be_written_ends_the_training_and_goes_on_where_it_can(small, notices, whole):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    log = small.folder / "one" / "log.jsonl"

    def fill() -> None:
        while "step-5" not in small.checkpoints("one"):
            time.sleep(0.01)
        resource.setrlimit(resource.RLIMIT_FSIZE, (log.stat().st_size + 20, before[1]))

    try:
        with pytest.raises(TrainingError, match=r"log.jsonl could not be written.*continue with --resume"):
            small.train("one", notices=notices({7: fill}))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not log.read_bytes().endswith(b"\n")
    small.train("one", resume=True)
    assert small.log("one") == whole


def test_a_text_that_has_changed_is_refused(small, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("one and one make two. " * 200)
    source = f"data=file:{text}"
    small.train("one", source, stop_after=2)
    text.write_text("one and one make three. " * 200)
    with pytest.raises(CheckpointError, match="goes on with the text it began with"):
        small.train("one", source, resume=True)


def test_a_finished_training_keeps_its_scores(small):
    first = small.train("one", "stages=[{tokens: 320, sequence_tokens: 32}]")
    again = small.train("one", "stages=[{tokens: 320, sequence_tokens: 32}]", resume=True)
    assert again.validation == first.validation


def test_documents_that_are_read_apart_are_another_loss(small, tmp_path):
    folder = tmp_path / "texts"
    folder.mkdir()
    for number in range(200):
        (folder / f"{number}.txt").write_text(f"{number} apples. ")
    options = [f"data=file:{folder}", "stages=[{tokens: 192, sequence_tokens: 32}]"]
    together = small.train("together", *options)
    apart = small.train("apart", *options, "reset_at_documents=true")
    assert small.log("apart")[0]["loss"] != small.log("together")[0]["loss"]
    assert apart.validation.loss != together.validation.loss


def test_a_vocabulary_too_small_for_the_text_is_refused_and_leaves_nothing(small):
    with pytest.raises(DataError, match="--vocab-size 257"):
        small.train("one", architecture=replace(small.architecture, vocab_size=100))
    assert [path.name for path in (small.folder / "one").iterdir()] == [".lock"]
    assert small.train("one", stop_after=1).step == 1


@pytest.mark.parametrize("setting", ["activation_checkpointing=true", "num_micro_batches=2"])
def test_what_only_saves_memory_changes_no_loss(small, setting):
    options = ["stages=[{tokens: 320, sequence_tokens: 32}]"]
    small.train("one", *options)
    small.train("two", *options, setting)
    for one, two in zip(small.log("one"), small.log("two"), strict=True):
        assert two.get("loss", 0) == pytest.approx(one.get("loss", 0), rel=1e-5)


def test_a_student_learns_from_its_teacher(small):
    teacher = small.train("teacher", "stages=[{tokens: 3840, sequence_tokens: 32}]")
    distillation = f"distillation={{teacher: {teacher.checkpoint}, weight: 0.9, top_k: 64}}"
    alone, taught = small.train("alone"), small.train("taught", distillation)
    assert small.log("alone")[0]["loss"] == pytest.approx(small.log("taught")[0]["loss"])
    tokens_BT = torch.randint(97, 123, (8, 32), generator=torch.Generator().manual_seed(0))

    def log_probabilities(folder):
        with torch.no_grad():
            return load_model(folder)[0](tokens_BT).log_softmax(-1)

    wanted = log_probabilities(teacher.checkpoint)
    far, near = (
        torch.nn.functional.kl_div(log_probabilities(each), wanted, log_target=True, reduction="batchmean")
        for each in (alone.checkpoint, taught.checkpoint)
    )
    assert near < far


def test_a_teacher_of_another_vocabulary_is_refused(small):
    other = small.train("teacher", architecture=replace(small.architecture, vocab_size=300), stop_after=1)
    with pytest.raises(CheckpointError, match="has 300 tokens, the model 257"):
        small.train("student", f"distillation={{teacher: {other.checkpoint}}}")


def test_a_teacher_with_another_tokenizer_is_refused(small, tmp_path):
    words = {"version": "1.0", "model": {"type": "WordLevel", "vocab": {"<|endoftext|>": 0, "a": 1}, "unk_token": "a"}}
    tokenizer = tokenizer_of(json.dumps(words), name="words", end_of_document=0)
    model = HybridLM(small.architecture, seed=0)
    save_model(tmp_path, model, tokenizer=tokenizer, provenance={"origin": "random"})
    with pytest.raises(CheckpointError, match="has 'words', the text 'bytes'"):
        small.train("student", f"distillation={{teacher: {tmp_path}}}")


def test_float8_without_a_gpu_is_refused(small):
    with pytest.raises(UnavailableError, match="fp8: false"):
        small.train("one", "fp8=true", "device=cpu")
