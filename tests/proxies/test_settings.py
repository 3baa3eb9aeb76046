import json

import pytest

from proxies.errors import SettingsError
from proxies.settings import TrainingSettings


def test_settings_survive_json() -> None:
    settings = TrainingSettings(steps=7, betas=(0.8, 0.9), validation_every=3, learning_rate=1)  # an integer on purpose
    assert TrainingSettings.from_dict(json.loads(json.dumps(settings.to_dict()))) == settings
    assert TrainingSettings.from_dict({}) == TrainingSettings()


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("steps", 0),
        ("steps", 1.5),
        ("steps", True),
        ("batch_size", -2),
        ("sequence_tokens", 0),
        ("validation_sequences", 0),
        ("validation_every", 0),
        ("num_threads", 0),
        ("num_processes", 0),
        ("num_processes", "auto"),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", "5e-3"),
        ("warmup_fraction", 1.5),
        ("warmup_fraction", -0.1),
        ("final_learning_rate_fraction", 2.0),
        ("weight_decay", -1.0),
        ("clip_norm", 0.0),
        ("betas", (0.9,)),
        ("betas", (0.9, 1.0)),
        ("dtype", "float8"),
        ("device", ""),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(field: str, value: object) -> None:
    with pytest.raises(SettingsError, match=rf"training\.{field} .*got|training\.dtype is unknown: 'float8'") as caught:
        TrainingSettings.from_dict({field: value})
    assert caught.value.exit_code == 3


def test_weight_normalization_and_weight_decay_exclude_each_other() -> None:
    with pytest.raises(SettingsError, match=r"got both, weight_decay 0\.1\. Set training\.weight_decay to 0"):
        TrainingSettings(weight_normalization=True)
    assert TrainingSettings(weight_normalization=True, weight_decay=0.0).weight_normalization


@pytest.mark.parametrize(
    ("batch_size", "nearest"), [(6, r"4, 8"), (2, "4")], ids=["between multiples", "below the first"]
)
def test_a_batch_that_processes_cannot_share_is_told_the_nearest(batch_size: int, nearest: str) -> None:
    with pytest.raises(
        SettingsError,
        match=rf"batch_size must be a multiple of the 4 processes .*; got {batch_size}\. Nearest: {nearest}\.",
    ):
        TrainingSettings(batch_size=batch_size, num_processes=4)
    assert TrainingSettings(batch_size=8, num_processes=4).tokens_per_step == 8 * 256


def test_several_processes_cannot_share_one_gpu() -> None:
    with pytest.raises(SettingsError, match=r"device must be auto, cpu or cuda where 2 processes .*; got 'cuda:0'"):
        TrainingSettings(num_processes=2, device="cuda:0")
    assert TrainingSettings(num_processes=1, device="cuda:0").device == "cuda:0"


def test_an_unknown_field_is_told_the_near_miss() -> None:
    with pytest.raises(SettingsError, match=r"no field 'step'\. Did you mean 'steps'"):
        TrainingSettings.from_dict({"step": 3})


def test_tokens_are_counted() -> None:
    settings = TrainingSettings(steps=10, batch_size=3, sequence_tokens=5)
    assert (settings.tokens_per_step, settings.total_tokens) == (15, 150)
    assert TrainingSettings(steps=3, warmup_fraction=0.0).warmup_steps == 1
