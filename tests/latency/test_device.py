from dataclasses import replace

import pytest

from latency.device import DeviceFingerprint, DeviceMismatchError, check_usable
from latency.device_probe import _gpu_driver_and_clocks, current_fingerprint
from search_spaces.errors import SpecError, UnavailableError


def test_a_fingerprint_survives_its_mapping(fingerprint) -> None:
    assert DeviceFingerprint.from_dict(fingerprint.to_dict()) == fingerprint


def test_a_fingerprint_with_an_unknown_field_is_refused(fingerprint) -> None:
    with pytest.raises(SpecError, match="no field 'colour'"):
        DeviceFingerprint.from_dict({**fingerprint.to_dict(), "colour": "green"})


def test_clocks_and_date_are_records_and_not_compared(fingerprint) -> None:
    assert fingerprint.matches(replace(fingerprint, clocks={}, date=""))


def test_memory_may_be_reported_a_little_differently(fingerprint) -> None:
    assert not fingerprint.device_differences(replace(fingerprint, memory_bytes=int(1.05 * 2**34)))
    assert fingerprint.device_differences(replace(fingerprint, memory_bytes=2**35)) == {"memory_bytes": (2**34, 2**35)}


def test_threads_tell_cpus_apart_but_not_gpus(fingerprint) -> None:
    assert fingerprint.device_differences(replace(fingerprint, num_threads=8)) == {"num_threads": (2, 8)}
    gpu = replace(fingerprint, kind="cuda")
    assert not gpu.device_differences(replace(gpu, num_threads=8))


def test_a_table_of_this_device_tells_which_versions_changed(fingerprint) -> None:
    newer = replace(fingerprint, torch="2.14.0", backends={})
    assert check_usable(fingerprint, current=newer) == {
        "torch": ("2.13.0", "2.14.0"),
        "mamba-ssm": ("2.3.2", "none"),
    }
    assert check_usable(fingerprint, current=fingerprint) == {}


def test_a_table_of_another_device_is_refused_with_the_name_to_ask_for(fingerprint) -> None:
    here = replace(fingerprint, device_name="Model 1", num_threads=4)
    with pytest.raises(DeviceMismatchError) as caught:
        check_usable(fingerprint, current=here)
    message = str(caught.value)
    assert "device_name (table Model 9000, here Model 1)" in message
    assert "num_threads (table 2, here 4)" in message
    assert "Ask for 'Model 9000' by name" in message
    assert caught.value.exit_code == 4


def test_a_table_asked_for_by_name_is_accepted_elsewhere_without_comparing_versions(fingerprint) -> None:
    here = replace(fingerprint, device_name="Model 1", torch="2.8.0")
    assert check_usable(fingerprint, current=here, asked_for="Model 9000") == {}


def test_asking_for_a_device_the_table_is_not_of_names_both(fingerprint) -> None:
    with pytest.raises(DeviceMismatchError, match="'H100'; it was measured on 'Model 9000'"):
        check_usable(fingerprint, current=fingerprint, asked_for="H100")


def test_this_machine_has_a_fingerprint() -> None:
    found = current_fingerprint("cpu", num_threads=3)
    assert found.kind == "cpu"
    assert found.device_name
    assert found.memory_bytes > 2**20
    assert found.num_threads == 3
    assert found.torch
    assert found.date.endswith("+00:00")
    assert found.matches(current_fingerprint("cpu", num_threads=3))


def test_a_device_that_is_neither_cpu_nor_cuda_is_refused() -> None:
    with pytest.raises(UnavailableError, match="must be cpu or cuda; got 'meta'"):
        current_fingerprint("meta", num_threads=1)


def test_driver_clocks_and_temperature_are_read_for_the_very_gpu(tmp_path, monkeypatch) -> None:
    script = tmp_path / "nvidia-smi"
    script.write_text(
        "#!/bin/sh\necho 'GPU-1, 570.1, 300 MHz, 2619 MHz, 1980 MHz, 31'\n"
        "echo 'GPU-2, 570.1, 1755 MHz, 2619 MHz, 1980 MHz, 47'\n"
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    driver, clocks = _gpu_driver_and_clocks("2")
    assert driver == "570.1"
    assert clocks == {"sm": "1755 MHz", "memory": "2619 MHz", "sm maximum": "1980 MHz", "temperature": "47 °C"}
    assert _gpu_driver_and_clocks("3") == ("", {})
