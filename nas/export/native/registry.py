"""The native formats by name."""

from typing import Final

from nas.export.native.bamba import BambaExporter
from nas.export.native.exporter import NativeExporter
from nas.export.native.fla import FlaExporter
from nas.export.native.granite import GraniteExporter
from nas.export.native.llama import LlamaExporter
from nas.export.native.nemotron_flash import NemotronFlashExporter
from nas.export.native.nemotron_h import NemotronHExporter
from nas.export.native.qwen3 import Qwen3Exporter
from nas.export.native.qwen3_5 import Qwen35Exporter

NATIVE_EXPORTERS: Final[tuple[NativeExporter, ...]] = (
    NemotronHExporter(),
    GraniteExporter(),
    BambaExporter(),
    Qwen35Exporter(),
    Qwen3Exporter(),
    LlamaExporter(),
    FlaExporter(),
    NemotronFlashExporter(),
)
