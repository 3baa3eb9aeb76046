"""The folder in processes that have torch, transformers and safetensors, and nothing of this project."""

import json
import os
import subprocess
import sys

import pytest
import yaml

from proxies.tokenizers import ByteTokenizer

GENERATES = """
import json, sys

class Refusing:
    def find_spec(self, name, path=None, target=None):
        ours = ("nas", "operators", "search_spaces", "latency", "proxies", "dashboards", "benchmarks", "hybridnas")
        if name.partition(".")[0] in ours:
            raise ImportError(f"{name} must not be needed")

sys.meta_path.insert(0, Refusing())
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.utils import logging
logging.disable_progress_bar()

folder, text = sys.argv[1:]
tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=True)
model = AutoModelForCausalLM.from_pretrained(folder, trust_remote_code=True)
inputs = tokenizer([text, text[:3]], return_tensors="pt", padding=True)
made = model.generate(**inputs, max_new_tokens=12, do_sample=False)
print(json.dumps({
    "ids": tokenizer(text)["input_ids"],
    "end": [tokenizer.eos_token_id, model.generation_config.eos_token_id, len(tokenizer)],
    "text": tokenizer.batch_decode(made, skip_special_tokens=True),
    "decoded": tokenizer.decode(tokenizer(text)["input_ids"]),
    "class": type(model).__name__,
    "code": sys.modules[type(model).__module__].__file__,
}))
"""

EVALUATES = """
import json, sys
from transformers.utils import logging
logging.disable_progress_bar()
import lm_eval
from lm_eval.tasks import TaskManager

folder, tasks, cache = sys.argv[1:]
found = lm_eval.simple_evaluate(
    model="hf", model_args={"pretrained": folder, "trust_remote_code": True, "device": "cpu", "max_length": 64},
    tasks=["letters"], batch_size=2, task_manager=TaskManager(include_path=tasks, include_defaults=False),
)
print(json.dumps(found["results"]["letters"], default=str))
"""


@pytest.fixture(scope="module")
def folder(pair_of, architecture_of):
    return pair_of(architecture_of(5)).folder


def run(code, *arguments, tmp_path):
    kept = {name: str(tmp_path / name) for name in ("HF_HOME", "HF_MODULES_CACHE", "HF_DATASETS_CACHE")}
    return subprocess.run(
        [sys.executable, "-I", "-c", code, *map(str, arguments)],
        cwd=tmp_path,
        env={
            **os.environ,
            **kept,
            "HF_HUB_OFFLINE": "1",
            "HF_DATASETS_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        },
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_generates_text_where_this_project_cannot_be_imported(folder, tmp_path):
    text = "Größe: 3 × 4\n"
    finished = run(GENERATES, folder, text, tmp_path=tmp_path)
    assert finished.returncode == 0, finished.stderr
    found = json.loads(finished.stdout.splitlines()[-1])
    assert found["class"] == "HybridNASForCausalLM"
    assert str(tmp_path) in found["code"]
    assert found["ids"] == ByteTokenizer().encode(text).tolist()
    assert found["decoded"] == text
    assert found["end"] == [256, 256, 257]
    assert len(found["text"]) == 2
    assert all(made.startswith(text[:3]) for made in found["text"])


@pytest.mark.slow
def test_the_harness_of_lm_eval_scores_it(folder, tmp_path):
    pytest.importorskip("lm_eval")
    pytest.importorskip("accelerate")
    documents = [{"text": word, "answer": place % 2} for place, word in enumerate(("abc", "bcd", "cde", "def"))]
    (tmp_path / "data.jsonl").write_text("".join(json.dumps(one) + "\n" for one in documents))
    task = {
        "task": "letters",
        "dataset_path": "json",
        "dataset_kwargs": {"data_files": {"test": str(tmp_path / "data.jsonl")}},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": "{{text}} is followed by",
        "doc_to_choice": ["a", "a letter"],
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc"}],
    }
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "letters.yaml").write_text(yaml.safe_dump(task))
    finished = run(EVALUATES, folder, tmp_path / "tasks", tmp_path, tmp_path=tmp_path)
    assert finished.returncode == 0, finished.stderr
    assert 0 <= json.loads(finished.stdout.splitlines()[-1])["acc,none"] <= 1
