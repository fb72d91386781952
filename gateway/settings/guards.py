"""The shape of ``guards:``: guard models of other makers, each a control of its own that level files can name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final, Literal

from pydantic import AfterValidator, Field

from gateway.settings.kinds import Seconds, Secret, Strict, checked_origin

GUARD: Final = "guard_"  # and the id: the control's name
GuardKind = Literal["vllm", "vllm_classify", "vllm_pooling", "tei", "triton", "transformer"]
Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1, le=100_000)]


class GuardSettings(Strict):
    """One guard model. docs/guards.md says what each kind needs."""

    id: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,30}$")] = Field(
        description="level files name it as the control `guard_<id>`"
    )
    kind: GuardKind = Field(description="the API of its server, or `transformer` for a model in a folder")
    model: str = Field("", description="the model's name on its server")
    family: str = Field("", description="of a model that answers in words: how it is asked and read")
    urls: tuple[Annotated[str, AfterValidator(checked_origin)], ...] = Field(
        (), description="its servers: scheme, host and port; with several, a late or absent one is stood in for"
    )
    folder: Path | None = Field(None, description="of a transformer: the folder, safetensors only")
    pins: dict[str, str] = Field(
        default_factory=dict, description="of a transformer: the sha256 of every file (`python -m classifiers pin`)"
    )
    categories: dict[str, str] = Field(
        default_factory=dict,
        description="label to category (`cbrn`, `other_harm`, or `none`); classes in the order of the model's outputs",
    )
    block: Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        ("cbrn",), description="categories that count in its verdicts"
    )
    thresholds: dict[str, Share] = Field(
        default_factory=dict, description="category to score; 0.5 without one; a level file's threshold overrules"
    )
    good: tuple[str, ...] = Field(
        (), description="texts that it must let pass before it is used; two of ours when empty"
    )
    bad: tuple[str, ...] = Field((), description="texts that it must flag before it is used; one of ours when empty")
    seconds: Seconds = Field(2, description="for one request to one server; less than the deadline of its groups")
    window: Annotated[int, Field(ge=16, le=1_000_000)] = Field(
        2048, description="bytes of text in one question; each overlaps the next by a quarter"
    )
    budget: Count = Field(256, description="windows that one message may need; beyond it 413")
    calls: Annotated[int, Field(ge=1, le=1000)] = Field(8, description="requests in flight")
    batch: Annotated[int, Field(ge=1, le=1000)] = Field(
        16, description="texts in a request, where the API takes several"
    )
    input: str = Field("text", description="triton: name of the tensor of texts")
    output: str = Field("scores", description="triton: name of the tensor of probabilities")
    key: Secret | None = Field(None, description="bearer token for its servers")
    ca: Path | None = Field(None, description="PEM file of the CA that signs its servers' certificates")
