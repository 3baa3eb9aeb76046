"""The architectures that can be read, by the `model_type` of their configuration."""

from collections.abc import Mapping
from typing import Final

from nas.export.hf.folder import architecture_of, layout_of
from nas.export.native.bamba import BambaExporter
from nas.export.native.granite import GraniteExporter
from nas.export.native.llama import LlamaExporter
from nas.export.native.nemotron_flash import NemotronFlashExporter
from nas.export.native.nemotron_h import NemotronHExporter
from nas.export.native.qwen3 import Qwen3Exporter
from nas.export.native.qwen3_5 import Qwen35Exporter
from nas.importing.family import Family
from nas.importing.mamba_hybrid import (
    bamba_architecture,
    granite_3_architecture,
    granite_architecture,
    with_multipliers,
)
from nas.importing.nemotron_flash import as_published, nemotron_flash_architecture
from nas.importing.nemotron_h import nemotron_h_architecture
from nas.importing.qwen3_5 import qwen3_5_architecture, without_constant_gates
from nas.importing.transformer import llama_architecture, qwen2_architecture, qwen3_architecture

_QWEN3_5: Final = Family(
    architecture=qwen3_5_architecture,
    exporter=Qwen35Exporter(),
    renamed={"model.language_model.": "model.", "language_model.model.": "model."},
    dropped=("model.visual.", "visual.", "mtp."),
    fold=without_constant_gates,
)

FAMILIES: Final[Mapping[str, Family]] = {
    "bamba": Family(architecture=bamba_architecture, exporter=BambaExporter()),
    "granite": Family(architecture=granite_3_architecture, exporter=LlamaExporter(), fold=with_multipliers),
    "granitemoehybrid": Family(architecture=granite_architecture, exporter=GraniteExporter(), fold=with_multipliers),
    "hybridnas": Family(architecture=lambda config: architecture_of(config.fields), layout=layout_of),
    "llama": Family(architecture=llama_architecture, exporter=LlamaExporter()),
    "nemotron_flash": Family(
        architecture=nemotron_flash_architecture, exporter=NemotronFlashExporter(), fold=as_published
    ),
    "nemotron_h": Family(
        architecture=nemotron_h_architecture,
        exporter=NemotronHExporter(),
        renamed={"model.": "backbone."},
        dropped=("mtp.",),
    ),
    "qwen2": Family(architecture=qwen2_architecture, layout=Qwen3Exporter().layout),
    "qwen3": Family(architecture=qwen3_architecture, exporter=Qwen3Exporter()),
    "qwen3_5": _QWEN3_5,
    "qwen3_5_text": _QWEN3_5,
}
