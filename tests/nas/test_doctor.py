import pytest

from nas.doctor import diagnose
from operators.backends import BACKENDS


def test_every_backend_is_listed_with_a_reason() -> None:
    backends = diagnose()["backends"]
    assert set(backends) == set(BACKENDS)
    assert backends["reference"].startswith("available")


def test_a_backend_whose_package_is_absent_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operators.backends.find_spec", lambda name: None)
    backends = diagnose()["backends"]
    for name, backend in BACKENDS.items():
        if backend.package:
            assert backends[name].startswith(f"unavailable: {backend.distribution} is not installed; pip install")


def test_without_a_gpu_backends_that_need_one_say_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("operators.backends.find_spec", lambda name: object())
    monkeypatch.setattr("nas.doctor._gpu", lambda: (False, "none"))
    assert diagnose()["backends"]["triton"].startswith("unavailable: it runs on cuda only")
    monkeypatch.setattr("nas.doctor._gpu", lambda: (True, "nvidia0"))
    assert diagnose()["backends"]["triton"].startswith("available")
