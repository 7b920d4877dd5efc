"""Options of a handoff to a vendor's own tools, with their defaults and command-line help."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from densecast.errors import UsageError
from densecast.spec import choices
from densecast.spec.options import QuantizeOptions, Split, option
from densecast.spec.precision import Precision, parse

Target = Literal["ascend", "magicmind"]
OutputForm = Literal["logits", "int32", "int64"]
MluArch = Literal["mtp_372", "tp_322", "mtp_592"]


@dataclass(frozen=True, slots=True)
class PrepareOptions:
    """Options of a handoff: vendor, precision, input sizes and contents.

    `output_form` is what the device gives. `processes` None is one for each CPU. `soc` is the name of Ascend's chip,
    None is Ascend310; `mlu_arch` is Cambricon's architecture, None is mtp_372 (the MLU370's). `device` is the card's
    number in the written commands.
    """

    target: Target = option("ascend", "Vendor: ascend or magicmind.")
    precision: Precision = "force_float16"
    output_form: OutputForm = option(
        "logits", "Output of the device: logits, or labels as int32 or int64.", flag="--output"
    )
    batch: int = option(1, "Batch size.", minimum=1)
    height: int | None = option(None, "Input height; default: determined by the images.", minimum=1)
    width: int | None = option(None, "Input width; default: determined by the images.", minimum=1)
    uint8_input: bool = option(False, "Build a graph with uint8 input and normalisation inside.")
    split: Split = option("val", "Split of the data set: train, val or all.")
    limit: int | None = option(None, "Use only the first N images.", minimum=1)
    seed: int = option(0, "Random seed of the split, for data sets without a published split.")
    soc: str | None = option(None, "Name of the Ascend chip, as atc expects it; default: Ascend310.")
    mlu_arch: MluArch | None = option(None, "Cambricon's architecture: mtp_372 (MLU370, default), tp_322 or mtp_592.")
    device: int = option(0, "Number of the card in the generated commands.", minimum=0)
    quantize: QuantizeOptions = field(default_factory=QuantizeOptions)
    processes: int | None = option(None, "Processes that prepare images; default: one per CPU.", minimum=1, maximum=256)

    def __post_init__(self) -> None:
        """Check that counts are positive, and that height and width are given together."""
        choices.types_of(self)
        for name, count in (("batch", self.batch), ("limit", self.limit), ("processes", self.processes)):
            if count is not None and count < 1:
                raise UsageError(f"{name} must be at least 1, got {count}.", field=name)
        if (self.height is None) != (self.width is None):
            raise UsageError("height and width go together.", field="height")
        if self.soc is not None and self.target != "ascend":
            raise UsageError("--soc names an Ascend chip, and the target is magicmind: say --mlu-arch.", field="soc")
        if self.mlu_arch is not None and self.target != "magicmind":
            raise UsageError("--mlu-arch is for --target magicmind; Ascend's chip is named by --soc.", field="mlu_arch")
        object.__setattr__(self, "precision", parse(self.precision))
        choices.check(self)

    @property
    def size_hw(self) -> tuple[int, int] | None:
        """The requested input size, if there is one."""
        return None if self.height is None or self.width is None else (self.height, self.width)
