"""The card of an exported folder, README.md: what the model is, whence it comes, what was checked, how to run it."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from latency.device import DeviceFingerprint
from latency.workload import Workload
from nas.export.exporter import TRANSFORMERS
from search_spaces import Architecture
from search_spaces.specs import spec_to_dict

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
) -> str:
    """Return the card.

    Args:
        content: the document of `spec.py`; its provenance may hold `weights`, with their `origin`.
        name: what the model is called.
        format_name: of the export.
        checked: what the round trip found, in words.
        emulations: what stands in for something else.
        serve_commands: command by engine.
        has_picture: whether the frontier's picture is beside the card.
    """
    architecture = Architecture.from_dict(content["architecture"])
    provenance = content["provenance"]
    is_random = provenance.get("weights", {}).get("origin") == "random"
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
        f"A language model of {architecture.depth} residual operators, found by HybridNAS and exported as "
        f"`{format_name}`.",
        _rows("Scores", _scores(provenance)),
        f"![The frontier of the search; this model is ringed]({PICTURE_FILE})" if has_picture else "",
        _rows("Architecture", _architecture(architecture)),
        _operators(architecture),
        _running(name, serve_commands),
        f"## What was checked\n\n{checked}",
        "Some of the model stands in for something else:\n\n" + "\n".join(f"- {words}" for words in emulations)
        if emulations
        else "",
        f"<details><summary>Where it comes from</summary>\n\n{_rows('', _flat(provenance))}\n\n</details>",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _scores(provenance: Mapping[str, Any]) -> dict[str, Any]:
    scores = {_SCORES.get(name, name): value for name, value in provenance.get("scores", {}).items()}
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


def _running(name: str, serve_commands: Mapping[str, str]) -> str:
    parts = ["## Running it"]
    if TRANSFORMERS in serve_commands:
        parts.append(
            "```python\nfrom transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            f'model = AutoModelForCausalLM.from_pretrained("{name}", trust_remote_code=True)\n'
            f'tokenizer = AutoTokenizer.from_pretrained("{name}", trust_remote_code=True)\n```'
        )
    parts += [f"{engine}:\n\n```sh\n{line}\n```" for engine, line in serve_commands.items()]
    return "\n\n".join(parts)


def _architecture(architecture: Architecture) -> dict[str, Any]:
    return {
        "Operators": f"`{architecture.pattern}`",
        "Width": architecture.hidden_size,
        "Vocabulary": architecture.vocab_size,
        "Meta tokens": architecture.num_meta_tokens,
        "Head": "tied to the embedding" if architecture.tie_embeddings else "its own",
        "Fingerprint": f"`{architecture.fingerprint()}`",
    }


def _operators(architecture: Architecture) -> str:
    rows = ["| # | operator | dimensions |", "|---|---|---|"]
    for index, spec in enumerate(architecture.operators):
        dimensions = _flat(
            {key: value for key, value in spec_to_dict(spec, omit_defaults=True).items() if key != "kind"}
        )
        words = ", ".join(f"{key} {value}" for key, value in dimensions.items())
        rows.append(f"| {index} | {spec.kind} | {words} |")
    return "\n".join(rows)


def _rows(title: str, content: Mapping[str, Any]) -> str:
    rows = [f"| {name} | {_cell(value)} |" for name, value in content.items() if value is not None]
    if not rows:
        return ""
    return "\n".join((*([f"## {title}", ""] if title else []), "| | |", "|---|---|", *rows))


def _cell(value: Any) -> str:
    text = str(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        text = f"{value:,.4f}".rstrip("0").rstrip(".")
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
