"""The tables of docs/numbers.md that are made of files which benchmarks wrote: which files, and the rows.

`docs/make_numbers.py` says how a table is added.
"""

from __future__ import annotations

import functools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Rows = list[list[str]]
RESULTS = Path(__file__).resolve().parents[1] / "benchmarks" / "results"
# Headings of the page, and the page that explains what stands below.
GROUPS = {
    "Beside what others would run": "measure.md",
    "As things grow": "measure.md",
    "Builds": "build.md",
    "int8 and accuracy": "accuracy.md",
    "Where accuracy goes": "compare.md",
    "CPUs": "cpus.md",
    "People": "pose.md",
    "MMSegmentation's networks": "reference-mmsegmentation.md",
    "TensorFlow's DeepLabV3": "reference-tensorflow.md",
    "Large images and windows": "large-images.md",
    "A million images": "scale.md",
    "Serving": "serve.md",
    "Cards": "handoff.md",
    "Reliability": "reliability.md",
}


@dataclass(frozen=True)
class Table:
    """One table: `rows` gets the contents of `files`, in their order, and returns text, the heading first."""

    name: str
    title: str
    group: str
    by: str  # the command that measured it
    says: str  # what, where, under what conditions
    files: tuple[str, ...]  # below benchmarks/results
    rows: Callable[..., Rows]
    kept_as_printed: bool = False


def _range(values: Sequence[float], form: str = ".2f") -> str:
    """The median, and the least and the most."""
    return f"{statistics.median(values):{form}} ({min(values):{form}} to {max(values):{form}})"


def _store(made: dict[str, Any]) -> Rows:
    """Steps over many made records, by the million."""
    millions = made["images"] / 1e6
    rows = [["step", "s a million", f"peak memory for {millions:.0f} million, MiB"]]
    for step in made["steps"]:
        files = f", {step['files_before']} files into {step['files_after']}" if "files_before" in step else ""
        rows.append([step["step"] + files, f"{step['seconds'] / millions:.1f}", f"{step['peak_rss_mib']:.0f}"])
    return rows


def _overhead(*runs: dict[str, Any]) -> Rows:
    """What the records of a run cost an image, of several networks."""
    head = [
        "",
        "the store's own functions, ms of CPU",
        "with records less without, ms by the clock",
        "of an image, %",
        "pairs",
    ]
    rows = [head]
    for run in runs:
        pair = run["paired"]
        more = [kept - plain for kept, plain in zip(pair["stored_ms"], pair["plain_ms"], strict=True)]
        share = 100 * statistics.median(more) / statistics.median(pair["plain_ms"])
        own = run["own_work_ms"]["cpu"]
        rows.append([run["artifact"], f"{own:.1f}", _range(more, "+.1f"), f"{share:+.1f}", str(len(more))])
    return rows


def _ray(run: dict[str, Any]) -> Rows:
    """Ray on one machine against a process of its own, round by round."""
    rows = [["round", "images/s alone", "images/s by Ray", "ratio", "first image alone, s", "by Ray, s"]]
    for number, each in enumerate(run["on"], 1):
        alone, ray = each["local"], each["ray:local"]
        pace = [alone["images_per_s"], ray["images_per_s"], ray["images_per_s"] / alone["images_per_s"]]
        first = [alone["first_s"], ray["first_s"]]
        rows.append([str(number), *(f"{value:.2f}" for value in pace), *(f"{value:.1f}" for value in first)])
    return rows


def _workers(run: dict[str, Any]) -> Rows:
    """How long two workers took at once, and what had been predicted from each alone."""
    rows = [["round", "images/s of one CPU", "of the other", "of both", "both predicted, s", "took, s", "apart, %"]]
    for number, each in enumerate(run["rounds"], 1):
        paces = [run["images_per_s"] for run in (*each["alone"], each["both"])]
        values = (*paces, each["predicted_s"], each["both"]["total_s"])
        rows.append([str(number), *(f"{value:.1f}" for value in values), f"{100 * each['apart']:.1f}"])
    return rows


_TIMES = ("p50, ms", "p90, ms", "p99, ms")


def _latency(serve: dict[str, Any]) -> Rows:
    """Latency of a request beside the pipeline alone and beside a plain handler."""
    ways = {"latency_mode": "the pipeline alone", "served": "`densecast serve`", "plain_handler": "a plain handler"}
    rows = [["network", "requests of each", "answered by", *_TIMES, "p99 more than alone, ms (95 %)"]]
    for name, found in serve["artifacts"].items():
        latency = found["latency"]
        for way, words in ways.items():
            more = latency.get(f"{way}_p99_ms_more")
            said = f"{round(more['value']):+d} ({more['low']:+.0f} to {more['high']:+.0f})" if more else ""
            times = [f"{value:.0f}" for value in latency["p50_p90_p99_ms"][way]]
            rows.append([f"`{name}`", str(latency["requests_each"]), words, *times, said])
    return rows


def _overload(serve: dict[str, Any]) -> Rows:
    """Arrivals at four times the rate of answers."""
    within, bound = "refused within, ms at p99 (most)", "accepted: p99 of the queue's bound"
    rows = [["network", "of all arrivals, accepted", "refused", within, bound, "memory over the rounds"]]
    for name, found in serve["artifacts"].items():
        if (load := found.get("overload")) is None:
            continue
        _, p99, most = load["refused_p50_p99_most_ms"]
        of_bound, memory = load["accepted_p99_of_bound"], load["resident_kb_after_each_round"]
        rows.append([
            f"`{name}`, a queue of {load['queue']}", str(load["accepted"]), str(load["refused"]),
            f"{p99:.0f} ({most:.0f})",
            f"{of_bound['median']:.1f} ({of_bound['least']:.1f} to {of_bound['most']:.1f})",
            f"{(memory[-1] - memory[0]) / 1e3:+.1f} MB of {memory[0] / 1e3:.0f}",
        ])  # fmt: skip
    return rows


_CONTENDERS = {
    "served": "`densecast serve`",
    "plain_handler": "a plain handler around densecast's own steps",
    "fastapi": "a FastAPI handler around OpenVINO",
    "litserve": "LitServe around OpenVINO",
}


def _load(serve: dict[str, Any]) -> Rows:
    """Throughput beside `stream`'s, and what slow clients leave to others."""

    def told(found: dict[str, float]) -> str:
        return f"{found['median']:.2f} ({found['least']:.2f} to {found['most']:.2f})"

    rows = [["network", "measured", "of", "ratio", "by CPU time", "rounds"]]
    for name, found in serve["artifacts"].items():
        if load := found.get("throughput"):
            for way, words in _CONTENDERS.items():
                if way in load["of_stream"]:
                    times = load["of_stream_by_cpu_time"][way]
                    what = [f"images/s of {words}, {load['clients']} clients", "`stream`"]
                    count = str(len(load["rounds_images_per_s"]))
                    rows.append([f"`{name}`", *what, told(load["of_stream"][way]), told(times), count])
        if slow := found.get("slow"):
            what = [f"images/s of four clients beside {slow['slow_clients']} slow ones", "the four alone"]
            rows.append([f"`{name}`", *what, told(slow["beside_of_alone"]), "", str(len(slow["rounds_images_per_s"]))])
    return rows


_COMPILED = {
    "compiled PyTorch, bfloat16": "torch compiled bf16 + OpenCV + numpy",
    "compiled PyTorch, int8": "torch compiled int8 + OpenCV + numpy",
    "ONNX Runtime, int8": "ONNX Runtime int8 + OpenCV + numpy",
}


def _of(ratio: dict[str, float]) -> str:
    return f"{ratio['median']:.2f} ({ratio['low']:.2f} to {ratio['high']:.2f})"


def _beside_compiled(measured: dict[str, Any]) -> Rows:
    """How many times faster than compiled PyTorch and ONNX Runtime in int8, from file to labels or people."""
    rows = [
        ["network", "precision", "ms an image", *(f"times {name}" for name in _COMPILED), "labels as PyTorch, float32"]
    ]
    for model, found in measured["models"].items():
        again = measured["again"].get(model, {"ratios": {}})
        for precision, shown in (("int8", "int8"), ("fp16", "16 bits")):
            own = f"densecast {precision} throughput"
            times = []
            for peer in _COMPILED.values():
                if precision != "int8" and " int8 " in peer:
                    times.append("")
                    continue
                runs = [each["ratios"].get(f"{own} × {peer}") for each in (found, again)]
                times.append("; ".join(_of(run) for run in runs if run is not None))
            figures = found["contenders"][own]
            same = figures.get("labels_as_torch")
            labels = "" if same is None else f"{100 * same:.2f} %"
            rows.append([f"`{model}` {found['input']}", shown, f"{figures['median_ms']:.0f}", *times, labels])
    return rows


_CPUS = 2  # that the peers were measured on
# What the vendor's tool told of the device that a reference names, in its README.
_DEVICES = {
    "FCN-R50": "14.3 from file to labels, 16.3 inference alone: Ascend 310, one of a card's four chips, 500×500"
}
_ROWS = {"int8": "**int8**, ms an image", "16 bits": "**16 bits**, ms an image"}


def _cost(*peers: dict[str, Any]) -> Rows:
    """Images for an hour of one rented CPU, beside the device that the network's reference names."""
    rows = [["network", "precision", "images/s", "images for a vCPU-hour", "the reference's device, images/s"]]
    for kept in peers:
        of_people = " (people)" if kept["columns"][0].startswith("people") else ""
        for column, network in enumerate(kept["columns"][1:], 1):
            for precision, label in _ROWS.items():
                ms = float(next(row for row in kept["rows"] if row[0] == label)[column])
                device = _DEVICES.get(network, "") if precision == "int8" else ""
                figures = [f"{1e3 / ms:.1f}", f"{3.6e6 / ms / _CPUS:,.0f}"]
                rows.append([network + of_people, precision, *figures, device])
    return rows


def _cost_by_cpu_time(measured: dict[str, Any]) -> Rows:
    """The same from the CPU time of an image, and by the kilowatt-hour where the system told."""
    costs = [cost for each in measured["models"].values() for cost in each["precisions"].values()]
    per_kwh = any(cost["images_per_kwh"] for cost in costs)
    head = ["network", "precision", "CPU ms an image", "images for a vCPU-hour, by CPU time", "by the clock"]
    rows = [[*head, *(["for a kWh"] if per_kwh else []), "others' share of the CPUs"]]
    for model, found in measured["models"].items():
        height, width = found["size_hw"]
        for precision, cost in found["precisions"].items():
            figures = [f"{cost['cpu_ms_per_image']:.1f}", f"{cost['images_per_vcpu_hour_by_cpu_time']:,.0f}"]
            figures += [f"{cost['images_per_vcpu_hour']:,.0f}"]
            figures += [f"{cost['images_per_kwh'] or 0:,.0f}"] if per_kwh else []
            rows.append([f"`{model}` {height}×{width}", precision, *figures, f"{100 * (cost['load'] or 0):.0f} %"])
    return rows


def _build_seconds(measured: dict[str, Any]) -> Rows:
    """What builds cost with an earlier version of the code and this one, what they chose, and what outputs lose."""
    rows = [
        [
            *("network", "what", "CPU s before", "now", "times", "s by the clock", "now"),
            *("ranges, biases", "now", "images", "now", "outputs changed", "now"),
        ]
    ]
    for each in measured["builds"]:
        before, after = each["before"], each["after"]
        sides = [before, after]
        costs = [f"{side['cpu_s']:.0f}" for side in sides] + [f"{before['cpu_s'] / after['cpu_s']:.1f}"]
        chosen = [f"{side['calibration_method']}, {side['bias_correction'] or 'none'}" for side in sides]
        chosen[1] = "the same" if chosen[0] == chosen[1] else chosen[1]
        clock, images = ([f"{side[key]:.0f}" for side in sides] for key in ("wall_s", "count"))
        changes = [f"{100 * side['change']:.3f} %" if "change" in side else "not measured" for side in sides]
        rows.append([f"`{each['model']}`", each["what"], *costs, *clock, *chosen, *images, *changes])
    return rows


def _first_result(measured: dict[str, Any]) -> Rows:
    """CPU seconds of whole cold processes, before and now."""
    rows = [["command", "CPU s before", "now", "ratio, round by round", "modules before", "now"]]
    for each in measured["commands"]:
        before, after = each["before"], each["after"]
        ratios = [new / old for old, new in zip(before["cpu_s"], after["cpu_s"], strict=True)]
        medians = [f"{statistics.median(side['cpu_s']):.2f}" for side in (before, after)]
        rows.append([f"`{each['command']}`", *medians, _range(ratios), str(before["modules"]), str(after["modules"])])
    return rows


def _scaling(measured: dict[str, Any]) -> Rows:
    """Where each curve begins and ends, and its exponents."""
    rows = [["", "from … to", "ms an image", "exponent", "CPU ms an image", "exponent", "peak MB", "load average"]]
    for name, found in measured["series"].items():
        at, points = list(found["points"]), list(found["points"].values())
        first, last = points[0], points[-1]
        memory = f"{first['peak_mb']:.0f} … {last['peak_mb']:.0f}" if "peak_mb" in last else ""
        rows.append([
            name, f"{at[0]} … {at[-1]}", f"{first['ms']:.1f} … {last['ms']:.1f}", _slope(found["exponent"]),
            f"{first['cpu_ms']:.1f} … {last['cpu_ms']:.1f}", _slope(found["cpu_exponent"]), memory,
            f"{max(found['load_average']):.1f}",
        ])  # fmt: skip
    return rows


def _slope(exponent: float | None) -> str:
    return "" if exponent is None else f"{exponent:.2f}"


def _openmmlab(measured: dict[str, Any]) -> Rows:
    """Labels that precisions change, and speed, of networks built from configurations."""
    head = ["network", "engine", "ran", "labels changed, %", "median ms", "times faster than ONNX Runtime float32"]
    rows = [[*head, "times less CPU time"]]
    words = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime", "fp32": "float32", "fp16": "16 bits"}
    for network, cases in measured["networks"].items():
        for case, found in cases.items():
            engine = " ".join(words.get(word, word) for word in case.split())
            ran = found.get("ran", "refused by its own check")
            changed = f"{100 * found['changed_labels']:.2f}" if "changed_labels" in found else ""
            speed = ["", "", ""]
            if "median_ms" in found:
                speed[0] = f"{found['median_ms']:.0f}"
                speed[1] = _with_quartiles(found["times_faster"], found["quartiles"])
            if "times_less_cpu" in found:
                speed[2] = _with_quartiles(found["times_less_cpu"], found["cpu_quartiles"])
            rows.append([f"`{network.removesuffix('.py')}`", engine, ran, changed, *speed])
    return rows


def _with_quartiles(ratio: float, quartiles: list[float]) -> str:
    low, high = quartiles
    return f"{ratio:.2f} ({low:.2f} to {high:.2f})"


def _openmmlab_profile(measured: dict[str, Any]) -> Rows:
    """What takes the time of networks built from configurations, by kinds of operators."""
    head = ["network", "ran", "operators", "of the time, %", "G multiplications", "of the peak in its type, %"]
    rows = [[*head, "of the roofline, %", "bound by"]]
    for network, cases in measured["networks"].items():
        for case, found in cases.items():
            if "profile" not in found or case.endswith("fp32"):
                continue
            for part in found["profile"]["kinds"]:
                of_peak = f"{100 * part['share_of_peak_macs']:.0f}" if part["gmacs"] else ""
                named = f"`{network.removesuffix('.py')}`"
                rows.append([
                    named, found["ran"].split(" (")[0], f"{part['count']} {part['operators']}",
                    f"{100 * part['share_of_time']:.0f}", f"{part['gmacs']:.1f}" if part["gmacs"] else "", of_peak,
                    f"{100 * part['share_of_roofline']:.0f}", part["bound"],
                ])  # fmt: skip
    return rows


def _mutants(measured: dict[str, Any], *, drawn: bool = True, turn: int = 1) -> Rows:
    """By package, and in all: changes tried, those that make no difference, and those that a test noticed.

    Those that a seed has drawn, or those that somebody chose; of a later `turn` those that were drawn anew, after tests
    had been added for what the ones before had shown.
    """
    rows = [
        ["package", "tried", "make no difference", "not decided", "noticed at once", "noticed in the end", "missed"]
    ]
    chosen = [
        each for each in measured["samples"] if (each["seed"] is not None) == drawn and each.get("turn", 1) == turn
    ]
    trials = [each for sample in chosen for each in sample["trials"]]
    for package in (*sorted({each["package"] for each in trials}), ""):
        own = [each for each in trials if package in ("", each["package"])]
        same = [each for each in own if each.get("then") == "makes no difference"]
        at_once = [each for each in own if each["result"] in ("noticed", "no end")]
        slow = [
            each for each in own if each["result"] == "too slow to tell" and each not in same and "then" not in each
        ]
        later = [each for each in own if each.get("then") == "noticed"]
        told = [len(own), len(same), len(slow), len(at_once), len(at_once) + len(later)]
        missed = len(own) - len(same) - len(slow) - len(at_once) - len(later)
        rows.append([f"`{package}`" if package else "all", *map(str, [*told, missed])])
    return rows


_CPU_NAMES = ("VNNI", "AVX-512 without VNNI", "Haswell", "EPYC", "ARM64")
_PORTABLE_ENGINES = {"openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"}
_NOT_RUN = "not run"


def _portable(measured: dict[str, Any]) -> Rows:
    """Each build of each network on each CPU: what changes against float32."""
    cells = {(row["network"], row["variant"], row["cpu"]): row for row in measured["rows"]}
    names = [name for name in _CPU_NAMES if any(row["cpu"] == name for row in measured["rows"])]
    rows = [["changed against float32", "AMX", *names]]
    for network, variant in sorted({(row["network"], row["variant"]) for row in measured["rows"]}):
        found = {cpu: cells[network, variant, cpu] for cpu in names if (network, variant, cpu) in cells}
        ran = [row for row in found.values() if "changed_here" in row]
        if not ran:
            continue
        here = max(ran, key=lambda row: row["images"])
        engine, precision, cpu = variant.split("_")
        build = f"{_PORTABLE_ENGINES[engine]} {precision}{f' `{cpu}`' if precision == 'int8' else ''}"
        told = [_elsewhere(found.get(cpu), here) for cpu in names]
        rows.append([f"{network}, {build}", _share(here["changed_here"], network), *told])
    return rows


def _elsewhere(row: dict[str, Any] | None, here: dict[str, Any]) -> str:
    """A cell; what the AMX machine changes stands in brackets where that is of other images or another build."""
    if row is None:
        return _NOT_RUN
    if "changed" not in row:
        return str(row["outcome"])
    network = row["network"]
    amx = _share(row["changed_here"], network)
    beside = f" [{amx}]" if amx != _share(here["changed_here"], network) else ""
    in_float32 = " (in float32)" if "_fp16_" in row["variant"] and row["precision"] == "float32" else ""
    return _share(row["changed"], network) + beside + in_float32


def _share(value: float, network: str) -> str:
    """Of labels in %; of people, the relative L2 difference of the network's output."""
    if value < 1e-6:
        return "0"
    return f"{value:.3f}" if network in _PEOPLE else f"{100 * value:.3f} %"


_MOST = {"all": "AMX", "AVX512_CORE_VNNI": "VNNI", "AVX512_CORE": "AVX-512 without VNNI", "AVX2": "AVX2"}


def _passes_elsewhere(measured: dict[str, Any]) -> Rows:
    """How many times as fast each pass makes a network on CPUs of other kinds."""
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    for key, cases in measured["networks"].items():
        *network, precision, most = key.split(", ")
        for name, case in cases.items():
            if name not in ("none", "default"):
                low, high = case["quartiles"]
                told = f"{case['times_faster']:.2f} ({low:.2f} to {high:.2f})"
                cells.setdefault((" ".join(network).removesuffix(" usual size"), precision, name), {})[most] = told
    ran = [most for most in _MOST if any(most in found for found in cells.values())]
    head = ["network", "precision", "pass", *(_MOST[most] for most in ran)]
    rows = [[*cell[:2], f"`{cell[2]}`", *(found.get(most, "") for most in ran)] for cell, found in cells.items()]
    return [head, *rows]


def _drops_elsewhere(measured: dict[str, Any]) -> Rows:
    """What int8 for all CPUs that was built within a limit loses against float32, on each CPU."""
    rows = [["network", "metric", "promised at most", "CPU", "lost on the images of the promise", "on others"]]
    for row in measured["rows"]:
        metric = f"`{row['metric']}`"
        lost = [f"{row[name]['value']:.3f} ({row[name]['low']:.3f} to {row[name]['high']:.3f})" for name in _IMAGES]
        cpu = "AMX" if row["cpu"] == "native" else row["cpu"]
        if "here" in row:  # under an emulator: too few images for an interval
            lost = [f"{row[name]['value']:.3f} [{row['here'][name]['value']:.3f}]" for name in _IMAGES]
            cpu = f"{cpu}, {row['images']} images"
        size = f", images of {'×'.join(map(str, row['image_hw']))}" if "image_hw" in row else ""
        rows.append([row["network"] + size, metric, f"{row['points']:g}", cpu, *lost])
    return rows


_IMAGES = ("promised", "others")
_PEOPLE = ("hrnet_w32_ae_tiny",)

TABLES: tuple[Table, ...] = (
    Table(
        "cost", "What an hour of a rented CPU buys", "Beside what others would run", "python benchmarks/peers.py",
        "From file to labels or people in throughput mode, of the tables below: two virtual CPUs (Xeon with AMX), at "
        "the sizes there. Their energy could not be read: a virtual machine has no counters.",
        ("printed/peers.json", "printed/peers-people.json"), _cost,
    ),
    Table(
        "compiled", "Compiled PyTorch and ONNX Runtime in int8", "Beside what others would run",
        "python benchmarks/peers.py --compiled",
        "From file to labels or people, as the tables below, in one run on the same images: PyTorch compiled by "
        "Inductor with frozen weights in channels-last order, in bfloat16 and in int8 by torchao's quantiser for x86; "
        "each with OpenCV and numpy around it. Two virtual CPUs with AMX, densecast in throughput mode, medians of the "
        "rounds' ratios and their range; behind the semicolon those of a second run, half an hour later. The "
        "machine ran at a third of its usual speed that day, everything alike: times are not those of other tables.",
        ("peers_compiled.json",), _beside_compiled,
    ),
    Table(
        "store", "Two million records", "A million images", "python benchmarks/store.py",
        "Made records of 19 classes, each step a process of its own; two virtual CPUs that other machines share.",
        ("store_2m.json",), _store,
    ),
    Table(
        "store-overhead", "What records cost", "A million images", "python benchmarks/store_overhead.py",
        "Evaluations with and without records in turns. The clock's spread is larger than its difference: it "
        "decides nothing; CPU time of the store's own functions does.",
        ("store_fcn_int8.json", "store_unet_tiny.json"), _overhead,
    ),
    Table(
        "ray", "Ray on one machine", "A million images", "python benchmarks/store_overhead.py",
        "FCN int8 on two CPUs, in turns, without the start. At least 0.85 of the pace is the aim: the median is "
        "above it; single rounds of this shared machine are not.",
        ("store_fcn_int8.json",), _ray,
    ),
    Table(
        "workers", "Two workers, predicted from one", "A million images", "python benchmarks/workers.py --at-least 500",
        "`unet_tiny` int8, every inference half a second long: the two virtual CPUs' own speed drifts by more than "
        "the 10 % that are the aim.",
        ("workers.json",), _workers,
    ),
    Table(
        "latency", "Latency of a request", "Serving", "python benchmarks/serve.py",
        "JPEG photographs of 959×640 (`unet_tiny`) and 500×500 (`fcn_r50_d8_voc`), int8, OpenVINO, requests "
        "in turns; nothing else ran.",
        ("serve.json",), _latency,
    ),
    Table(
        "overload", "Overload", "Serving", "python benchmarks/serve.py",
        "Arrivals at four times the rate of answers, three rounds; nothing else ran. The bound takes the rate of the "
        "seconds before.",
        ("serve.json",), _overload,
    ),
    Table(
        "load", "Throughput and slow clients", "Serving", "python benchmarks/serve.py",
        "Promised: 0.90 of `stream`'s throughput, and 0.9 of it beside slow clients. Contenders in turns of five "
        "seconds on a machine whose speed drifts, hence the spread.",
        ("serve.json",), _load,
    ),
)  # fmt: skip
# Tables of files that are there once their benchmark has been run: each command writes, or goes on with, its file.
_ONCE_MEASURED = (
    Table(
        "passes-elsewhere", "Graph passes on other CPUs", "CPUs",
        "python benchmarks/passes.py --most … --processor-time",
        "The shipped networks at their usual sizes; each pass alone against none, one thread, CPU time, medians of "
        "rounds in turns with their quartiles; an empty cell was not measured. All CPUs are an AMX machine with less "
        "to use (`ONEDNN_MAX_CPU_ISA`), which others kept busy meanwhile.",
        ("passes_elsewhere.json",), _passes_elsewhere,
    ),
    Table(
        "drops-elsewhere", "A limit on the accuracy lost, kept on other CPUs", "CPUs", "python portable/max_drop.py",
        "OpenVINO, `--max-drop --cpu any`, searched on an AMX machine; points lost against float32 on the same CPU, "
        "with 95 % intervals, on the 40 drawn images of the search and on 40 that it did not see. VNNI and AVX-512 by "
        "`ONEDNN_MAX_CPU_ISA`; Haswell under qemu 7.2 on a few of each, beside what the AMX machine loses on the "
        "same ones [in brackets].",
        ("portable_drop.json",), _drops_elsewhere,
    ),
    Table(
        "portable-cells", "Other CPUs, cell by cell", "CPUs", "python portable/run.py --json",
        "What was run since the table of the shipped networks was printed, kept in full: labels changed, and of "
        "`hrnet_w32_ae_tiny` the relative L2 distance of the output, on one or two small images. In brackets: what the "
        "AMX machine changes with the same build on the same images, where that is not the column AMX. EPYC, Haswell "
        "(AVX2) and ARM64 (neoverse-n1, `portable/arm64.py`) under qemu 7.2; VNNI by `ONEDNN_MAX_CPU_ISA`, which ONNX "
        "Runtime does not read.",
        ("portable.json",), _portable,
    ),
    Table(
        "first-result", "A cold process", "Beside what others would run", "python benchmarks/first_result.py --before",
        "CPU seconds of whole processes, an earlier version and this one in turns (median of the rounds' ratios, and "
        "range), on a machine that others kept busy; one picture, with everything on disk that a build leaves.",
        ("first_result.json",), _first_result,
    ),
    Table(
        "build-seconds", "What int8 builds cost", "int8 and accuracy", "python benchmarks/build_seconds.py --before",
        "CPU seconds of all processes of `densecast build` with nothing in the cache, by an earlier version and this "
        "one; how many images ranges are of; and on 32 others the share of labels that change against float32, of pose "
        "networks the relative L2 distance of the outputs. Other programs stretch the time by the clock.",
        ("build_seconds.json",), _build_seconds,
    ),
    Table(
        "cost-by-cpu-time", "Images for the CPU time of an hour", "Beside what others would run",
        "python benchmarks/cost.py", "From file to labels or people in throughput mode, medians of rounds in which the "
        "precisions take turns. CPU time is what other programs' work changes least.",
        ("cost.json",), _cost_by_cpu_time,
    ),
    Table(
        "scaling-curves", "Curves of cost", "As things grow", "python benchmarks/scaling.py",
        "`unet_tiny` in int8 from JPEG to mask; for people, the decoding alone at 512×704; for tiles, `fcn_tiny` in "
        "float32 by `infer --large`; for clients, `densecast serve`. The exponent is the slope of the logarithms: 1 is "
        "cost in proportion, 0 none.",
        ("scaling.json",), _scaling,
    ),
    Table(
        "openmmlab-precisions", "Precisions of networks built from configurations", "MMSegmentation's networks",
        "python benchmarks/openmmlab_networks.py --profile --images 5 --calibration minmax",
        "512×1024, batch 1, two cores with AMX, weights by chance, 5 photographs (of DeepLabV3+ 3) that calibrate and "
        "are compared; labels that are not ONNX Runtime's in float32; inference alone, medians of interleaved rounds' "
        "ratios with their quartiles. An empty cell was not measured.",
        ("openmmlab_networks.json",), _openmmlab,
    ),
    Table(
        "openmmlab-profile", "What holds networks built from configurations", "MMSegmentation's networks",
        "python benchmarks/openmmlab_networks.py --profile --images 5 --calibration minmax",
        "The operators that take most of the time of the builds above, as the engine's own counters tell (`benchmark "
        "--layers`). The peak in a type is what a chain of large 3×3 convolutions reaches on the same machine; the "
        "roofline is that peak or memory's, whichever allows less.",
        ("openmmlab_networks.json",), _openmmlab_profile,
    ),
    Table(
        "openmmlab-families", "Precisions by family", "MMSegmentation's networks",
        "python benchmarks/openmmlab_networks.py --size 256x512 --repetitions 15 --images 6 --statistics-height 128 "
        "--calibration minmax --half-type bf16 --configs FOLDER FILE …",
        "One of the original's configurations for each family at 256×512, 6 photographs, otherwise as above. OCRNet "
        "has float16 in its int8 build (`--half-type auto`): with bfloat16 OpenVINO does not compile it. Other "
        "programs took most of the machine: times are long, and CPU time is the comparison.",
        ("openmmlab_families.json",), _openmmlab,
    ),
    Table(
        "mutants-by-package", "Fresh changes to the source, by package", "Reliability",
        "make mutate; python tests/mutation/record.py",
        "Drawn by seeds and tried with the three to six files of tests that are nearest, or up to thirty where those "
        "did not notice (`verbs/builder`, `verbs/export`, `verbs/serve`, `backends`), on two CPUs that many others "
        "kept busy, which is why they are few. In the end: with more of the tests, and those that were written since. "
        "Not decided: the tests took too long on that machine, with or without the change.",
        ("mutants.json",), _mutants,
    ),
    Table(
        "mutants-drawn-again", "Changes to the source that were drawn again, by package", "Reliability",
        "make mutate; python tests/mutation/record.py --turn 2",
        "Drawn by another seed when tests for what the first ones had shown were there, more of the packages that had "
        "been worst. Tried with the five nearest files of tests, and where those did not notice with the files that "
        "are about the changed lines; otherwise as above.",
        ("mutants.json",), functools.partial(_mutants, turn=2),
    ),
    Table(
        "mutants-drawn-a-third-time", "Changes to the source that were drawn a third time, by package", "Reliability",
        "make mutate; python tests/mutation/record.py --turn 3",
        "Drawn by other seeds again, when there were tests for all that the samples before had shown. Tried with the "
        "six nearest files of tests; four of those that these did not notice are noticed by files further away. In the "
        "end: with the tests that were written for the others.",
        ("mutants.json",), functools.partial(_mutants, turn=3),
    ),
    Table(
        "mutants-drawn-a-fourth-time", "Changes to the source that were drawn a fourth time, by package", "Reliability",
        "make mutate; python tests/mutation/record.py --turn 4",
        "Drawn by other seeds again, when tests of small refusals, edges and told reasons had been added throughout. "
        "Tried with the six nearest files of tests; ten of those that these did not notice are noticed by files "
        "further away. In the end: with the tests that were written for the others.",
        ("mutants.json",), functools.partial(_mutants, turn=4),
    ),
    Table(
        "mutants-drawn-a-fifth-time", "Changes to the source that were drawn a fifth time, by package", "Reliability",
        "make mutate; python tests/mutation/record.py --turn 5",
        "Drawn by other seeds again, of all packages, those of the command line, of the server and of records too, "
        "when there were tests of searches, tuning, stores and requests without engines. Tried with the six nearest "
        "files of tests; ten of those that these did not notice are noticed by files further away. In the end: with "
        "the tests that were written for the others.",
        ("mutants.json",), functools.partial(_mutants, turn=5),
    ),
    Table(
        "mutants-drawn-a-sixth-time", "Changes to the source that were drawn a sixth time, by package", "Reliability",
        "make mutate; python tests/mutation/record.py --turn 6",
        "Drawn by other seeds again, of all packages, when what earlier samples had missed had tests. Tried with the "
        "six nearest files of tests; nine of those that these did not notice are noticed by files further away. In the "
        "end: with the tests that were written for the others.",
        ("mutants.json",), functools.partial(_mutants, turn=6),
    ),
    Table(
        "mutants-chosen", "Changes to the source that were chosen to go unnoticed, by package", "Reliability",
        "make mutate SAMPLE='--listed FILE'; python tests/mutation/record.py",
        "As an auditor would try them: interval ends, ties, units, rounding, order, a check that is gone. Tried with "
        "the nearest files of tests; otherwise as above.",
        ("mutants.json",), functools.partial(_mutants, drawn=False),
    ),
)  # fmt: skip
TABLES += tuple(table for table in _ONCE_MEASURED if all((RESULTS / file).is_file() for file in table.files))
