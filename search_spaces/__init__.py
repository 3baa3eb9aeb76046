"""What an architecture is, and which architectures may be searched. Needs no torch."""

from search_spaces.architecture import Architecture, spec_from_dict
from search_spaces.depth_width import DepthWidthGenome, DepthWidthSpace
from search_spaces.dimensions import Dimensions, architecture_from_pattern
from search_spaces.errors import NasError, SpecError, UnavailableError
from search_spaces.features import FEATURE_NAMES, architecture_features
from search_spaces.free_blocks import FreeBlocks
from search_spaces.genome import Block, Stage, StagedGenome, Unit
from search_spaces.layerwise import LayerwiseSpace
from search_spaces.pattern import LETTERS, format_pattern, parse_pattern
from search_spaces.presets import load_preset, preset_names, space_from_dict, space_to_dict
from search_spaces.ratio_blocks import RatioBlocks
from search_spaces.references import load_reference, reference_names
from search_spaces.space import (
    ArchitectureSpace,
    EnumerableSpace,
    RepairingSpace,
    SearchSpace,
    SuggestingSpace,
    SuggestingTrial,
)
from search_spaces.specs import (
    SPEC_CLASSES,
    AttentionSpec,
    DeltaNetSpec,
    FFNSpec,
    FlaSpec,
    GatedDeltaNetSpec,
    HybridHeadSpec,
    Mamba1Spec,
    Mamba2Spec,
    OperatorSpec,
    RopeScaling,
    is_mixer,
    spec_to_dict,
)
from search_spaces.staged import StagedSpace

__all__ = [
    "FEATURE_NAMES",
    "LETTERS",
    "SPEC_CLASSES",
    "Architecture",
    "ArchitectureSpace",
    "AttentionSpec",
    "Block",
    "DeltaNetSpec",
    "DepthWidthGenome",
    "DepthWidthSpace",
    "Dimensions",
    "EnumerableSpace",
    "FFNSpec",
    "FlaSpec",
    "FreeBlocks",
    "GatedDeltaNetSpec",
    "HybridHeadSpec",
    "LayerwiseSpace",
    "Mamba1Spec",
    "Mamba2Spec",
    "NasError",
    "OperatorSpec",
    "RatioBlocks",
    "RepairingSpace",
    "RopeScaling",
    "SearchSpace",
    "SpecError",
    "Stage",
    "StagedGenome",
    "StagedSpace",
    "SuggestingSpace",
    "SuggestingTrial",
    "UnavailableError",
    "Unit",
    "architecture_features",
    "architecture_from_pattern",
    "format_pattern",
    "is_mixer",
    "load_preset",
    "load_reference",
    "parse_pattern",
    "preset_names",
    "reference_names",
    "space_from_dict",
    "space_to_dict",
    "spec_from_dict",
    "spec_to_dict",
]
