"""Our adapter against the harness's own for transformers, on one model under both runtimes."""

import pytest
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM
from typer.testing import CliRunner

from nas.cli.main import app
from nas.winners.evaluation.harness_model import HarnessModel
from proxies.tokenizers import ByteTokenizer

PAIRS = [("The apple is", " red"), ("The sky is", " a long answer"), ("no blank ", "here"), ("", "nothing before")]
WRITING = {"until": ["\n"], "max_gen_toks": 12, "do_sample": False}


def requests(kind, *arguments):
    return [
        Instance(request_type=kind, doc={}, arguments=one, idx=index, metadata=("test", index, 1))
        for index, one in enumerate(arguments)
    ]


@pytest.fixture(scope="module")
def theirs(checkpoint, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "model"
    arguments = ["export", str(checkpoint), "--format", "hf", "--output", str(folder), "--no-check"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return HFLM(pretrained=str(folder), trust_remote_code=True, device="cpu", dtype="float32", batch_size=2)


@pytest.fixture(scope="module")
def ours(model):
    return HarnessModel(model, ByteTokenizer(), batch_size=3, context_tokens=512)


def test_likelihoods_are_theirs(ours, theirs):
    asked = requests("loglikelihood", *PAIRS)
    for mine, other in zip(ours.loglikelihood(asked), theirs.loglikelihood(asked, disable_tqdm=True), strict=True):
        assert mine[0] == pytest.approx(other[0], rel=1e-4)
        assert mine[1] == other[1]


def test_likelihoods_of_texts_are_theirs(ours, theirs):
    asked = requests("loglikelihood_rolling", ("The quick brown fox.\n",), ("é",))
    others = theirs.loglikelihood_rolling(asked, disable_tqdm=True)
    assert ours.loglikelihood_rolling(asked) == pytest.approx(others, rel=1e-4)


def test_what_is_written_is_theirs(ours, theirs):
    asked = requests("generate_until", ("The apple is", WRITING), ("The sky", WRITING))
    assert ours.generate_until(asked) == theirs.generate_until(asked, disable_tqdm=True)
