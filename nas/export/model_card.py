"""The card of an exported folder, README.md: what the model is, whence it comes, what was checked, how to run it."""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from latency.device import DeviceFingerprint
from latency.workload import Workload
from nas.export.exporter import TRANSFORMERS
from search_spaces import Architecture
from search_spaces.specs import OperatorSpec, spec_to_dict

PICTURE_FILE: Final = "frontier.svg"

_MOST_CELL: Final = 120

_SCORES: Final = {
    "perplexity": "Perplexity of the short training in the search",
    "recall_error": "Recall error",
    "latency_ms": "Latency predicted by the table (ms)",
    "num_parameters": "Parameters",
    "memory_gib": "Memory (GiB)",
}


def model_card(
    content: Mapping[str, Any],
    *,
    name: str,
    format_name: str,
    checked: str,
    emulations: Sequence[str],
    serve_commands: Mapping[str, str],
    has_picture: bool,
    has_tokenizer: bool,
    brings_code: bool,
) -> str:
    """Return the card.

    Args:
        content: the document of `spec.py`; its provenance may hold `weights`, with their `origin`.
        name: of the folder.
        format_name: of the export.
        checked: what the round trip found, in words.
        emulations: what stands in for something else.
        serve_commands: command by engine.
        has_picture: whether the frontier's picture is beside the card.
        has_tokenizer: whether the tokenizer's files are.
        brings_code: whether the code of the model is, which transformers runs only when told to trust it.
    """
    architecture = Architecture.from_dict(content["architecture"])
    provenance = content["provenance"]
    is_random = provenance.get("weights", {}).get("origin") == "random"
    origin = "found by HybridNAS and exported" if "search" in provenance else "exported by HybridNAS"
    tags = ["hybridnas", *(["random-weights"] if is_random else [])]
    parts = [
        f"---\nlibrary_name: transformers\npipeline_tag: text-generation\ntags: [{', '.join(tags)}]\n---",
        f"# {name}",
    ]
    if is_random:
        parts.append(
            "> **Untrained.** The weights were drawn at random: the text means nothing. "
            "The folder serves to try engines and to time them."
        )
    parts += [
        f"A language model of {architecture.depth} residual operators, {origin} as `{format_name}`.",
        _rows("Scores", _scores(provenance)),
        f"![The frontier of the search; this model is ringed]({PICTURE_FILE})" if has_picture else "",
        _rows("Architecture", _architecture(architecture)),
        _operators(architecture),
        _running(name, serve_commands, has_tokenizer=has_tokenizer, brings_code=brings_code),
        f"## What was checked\n\n{checked}{'' if serve_commands.keys() <= {TRANSFORMERS} else ' No other engine ran.'}",
        "Some of the model stands in for something else:\n\n" + "\n".join(f"- {words}" for words in emulations)
        if emulations
        else "",
        f"<details><summary>Where it comes from</summary>\n\n{_rows('', _flat(provenance))}\n\n</details>",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _scores(provenance: Mapping[str, Any]) -> dict[str, Any]:
    scores = {_SCORES.get(name, name): _cell(value) for name, value in provenance.get("scores", {}).items()}
    perplexity = _SCORES["perplexity"]
    if perplexity in scores and provenance.get("deviation") is not None:
        runs = provenance["num_evaluations"]
        scores[perplexity] += f" (mean of {runs} runs, standard deviation {_cell(provenance['deviation'])})"
    weights = provenance.get("weights", {})
    measured, device, workload = (provenance.get(name) for name in ("measured_latency_ms", "device", "workload"))
    return {
        **scores,
        "Latency measured on the whole model (ms)": measured,
        "Latencies are of": None if device is None else DeviceFingerprint.from_dict(device).describe(),
        "Workload": None if workload is None else Workload.from_dict(workload).describe(),
        "Validation loss of the training (nats a token)": weights.get("validation_loss"),
        "Tokens of the training": weights.get("tokens"),
    }


def _running(name: str, serve_commands: Mapping[str, str], *, has_tokenizer: bool, brings_code: bool) -> str:
    parts = ["## Running it"]
    if TRANSFORMERS in serve_commands:
        classes = {"model": "AutoModelForCausalLM", **({"tokenizer": "AutoTokenizer"} if has_tokenizer else {})}
        given = f"{json.dumps(name, ensure_ascii=False)}{', trust_remote_code=True' if brings_code else ''}"
        lines = [f"{variable} = {auto}.from_pretrained({given})" for variable, auto in classes.items()]
        imports = f"from transformers import {', '.join(classes.values())}"
        parts.append("\n".join(("```python", imports, "", *lines, "```")))
    if not has_tokenizer:
        parts.append(
            "No tokenizer comes with these weights: give token ids, or put a `tokenizer.json` here to serve text."
        )
    parts += [f"{engine}:\n\n```sh\n{line}\n```" for engine, line in serve_commands.items()]
    return "\n\n".join(parts)


def _architecture(architecture: Architecture) -> dict[str, Any]:
    return {
        "Operators": f"`{architecture.pattern}`",
        "Width": architecture.hidden_size,
        "Vocabulary": architecture.vocab_size,
        "Meta tokens": architecture.num_meta_tokens or None,
        "Head": "tied to the embedding" if architecture.tie_embeddings else "its own",
        "Fingerprint": f"`{architecture.fingerprint()}`",
    }


def _operators(architecture: Architecture) -> str:
    places: defaultdict[OperatorSpec, list[str]] = defaultdict(list)
    for index, spec in enumerate(architecture.operators):
        places[spec].append(str(index))
    rows = ["| # | operator | dimensions |", "|---|---|---|"]
    for spec, indices in places.items():
        dimensions = _flat(
            {key: value for key, value in spec_to_dict(spec, omit_defaults=True).items() if key != "kind"}
        )
        words = ", ".join(f"{key} {_cell(value)}" for key, value in dimensions.items())
        rows.append(f"| {', '.join(indices)} | {spec.kind} | {words} |")
    return "\n".join(rows)


def _rows(title: str, content: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {_cell(value)} |" for name, value in content.items() if value is not None]
    if not rows:
        return ""
    return "\n".join((*([f"## {title}", ""] if title else []), "| | |", "|---|---|", *rows))


def _cell(value: Any) -> str:
    text = str(value)
    if isinstance(value, bool):
        text = "yes" if value else "no"
    elif isinstance(value, int) or (isinstance(value, float) and value.is_integer()):
        text = f"{int(value):,}"
    elif isinstance(value, float):
        text = f"{value:.2f}" if abs(value) >= 100 else f"{value:.4g}"
    text = text.replace("|", "\\|").replace("\n", " ")
    return text if len(text) <= _MOST_CELL else text[: _MOST_CELL - 1] + "…"


def _flat(content: Mapping[str, Any], *, prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, names joined by dots; scores stand elsewhere."""
    flat: dict[str, Any] = {}
    for name, value in content.items():
        if not prefix and name in ("scores", "measured_latency_ms"):
            continue
        if isinstance(value, Mapping):
            flat |= _flat(value, prefix=f"{prefix}{name}.")
        elif value not in (None, "", [], {}):
            flat[f"{prefix}{name}"] = value
    return flat
