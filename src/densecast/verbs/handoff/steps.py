"""Writes the README of a handoff folder: the steps in order, with their commands."""

from __future__ import annotations

from densecast.spec.handoff_options import PrepareOptions
from densecast.spec.model import ModelSpec
from densecast.verbs.handoff import commands
from densecast.verbs.handoff.package import NOT_RUN, Handoff

_ABOUT = {
    "amct": "quantise to int8, with the bins of `calibration/`",
    "atc": "compile",
    "benchmark": "run on the card: outputs in `result/dumpOutput_device{device}`, times in `result/perf_vision_…txt`",
    "pure_inference": "speed alone, on random data",
    "ais_bench": "the newer tool instead: outputs in `result/<date>`, its summary beside them",
    "mm_run": "speed alone; keep what it prints in a file for `--performance`",
}


def commands_of(spec: ModelSpec, options: PrepareOptions, sizes_hw: list[tuple[int, int]]) -> dict[str, str]:
    """The vendor's commands by tool, in order; paths are relative to the handoff folder."""
    precision, device = options.precision, options.device
    if options.target == "magicmind":
        return {"mm_run": commands.mm_run(spec, precision, sizes_hw, device)}
    int8 = {"amct": commands.amct(spec, precision, sizes_hw)} if precision == "qint8_mixed_float16" else {}
    return {
        **int8,
        "atc": commands.atc(spec, precision, options.soc or "Ascend310", sizes_hw),
        "benchmark": commands.benchmark_tool(spec, precision, sizes_hw, device),
        "pure_inference": commands.pure_inference(spec, precision, device),
        "ais_bench": commands.ais_bench(spec, precision, sizes_hw, device),
    }


# What the tools of CANN 5.0 want to be set; FCN-8s' deployment lists the same variables. Later toolkits bring a script.
_ASCEND = """The card must be idle (`npu-smi info`). Set the toolkit's environment first, by its own script:

```bash
source /usr/local/Ascend/ascend-toolkit/set_env.sh
```

or, of a toolkit that has none, one by one:

```bash
export install_path=/usr/local/Ascend/ascend-toolkit/latest
export PATH=$install_path/atc/ccec_compiler/bin:$install_path/atc/bin:$PATH
export PYTHONPATH=$install_path/atc/python/site-packages:$PYTHONPATH
export LD_LIBRARY_PATH=$install_path/atc/lib64:$install_path/acllib/lib64:$LD_LIBRARY_PATH
export ASCEND_OPP_PATH=$install_path/opp
export ASCEND_AICPU_PATH=$install_path
```
"""


def readme(handoff: Handoff, device: int = 0) -> str:
    """The README in Markdown: the folder's contents, and the steps in order on the card of that number."""
    spec = handoff.spec
    output_shape = "×".join(str(size) if size else "?" for size in handoff.output.shape)
    lines = [
        f"# {spec.name} for {handoff.target}, {handoff.precision}, batch {handoff.batch}",
        "",
        f"{handoff.data.count} images of {handoff.data.dataset} ({handoff.split}). Hardware: {NOT_RUN}.",
        "",
        f"- `model.onnx`: opset 11, input `{spec.input.name}` {spec.input}",
        f"- `inputs/<id>.bin`: one image each, {spec.input.dtype}, C order, little-endian, no header",
        f"- output `{handoff.output.name}`: {handoff.output.dtype}, {output_shape} an image",
        "- `inputs.info`, `images.info`: index, file, width, height",
        *(["- `calibration/`: one batch a file"] if handoff.calibration else []),
        "",
        "Run all commands in this folder.",
        "",
    ]
    if handoff.target == "ascend":
        lines += [_ASCEND]
    else:
        lines += [
            "Compile with `densecast build --backend magicmind` where MagicMind is installed, or give",
            "`model.onnx` and `builder_config.json` to MagicMind's own parser and builder.",
            "",
        ]
    for number, (tool, command) in enumerate(handoff.commands.items(), start=1):
        lines += [f"{number}. {_ABOUT[tool].format(device=device)}:", "", "   ```bash", f"   {command}", "   ```", ""]
    lines += [
        "Bring the outputs back and evaluate them:",
        "",
        "```bash",
        "densecast handoff collect . result --data DATA",
        "```",
        "",
        "Without a card, `densecast handoff simulate . --out result` simulates the device on this machine's CPU.",
    ]
    return "\n".join(lines) + "\n"
