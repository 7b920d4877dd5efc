"""Renders the report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from densecast.artifact import CompiledArtifact
from densecast.report import devices, reasons, verdict
from densecast.report.data import Reasons, Report, Row
from densecast.spec.precision import short

# What begins code and links within a line. Nothing that is written here has any.
_MARKUP = re.compile(r"`|\[(?=[^\]]*\]\()")
_STAGES = ("decode", "preprocess", "infer", "postprocess", "end_to_end")


def table(header: Sequence[str], rows: Sequence[Sequence[str]], align: str) -> str:
    """A Markdown table with padded columns; `align` has one `<` or `>` per column.

    >>> print(table(["name", "n"], [["x", "10"]], "<>"))
    | name |  n |
    |:-----|---:|
    | x    | 10 |
    """
    header = [_cell(cell) for cell in header]
    rows = [[_cell(cell) for cell in row] for row in rows]
    widths = [max(len(row[column]) for row in (header, *rows)) for column in range(len(header))]
    lines = [_line(header, widths, align)]
    rules = (
        ":" + "-" * (width + 1) if side == "<" else "-" * (width + 1) + ":"
        for width, side in zip(widths, align, strict=True)
    )
    lines.append("|" + "|".join(rules) + "|")
    lines += [_line(row, widths, align) for row in rows]
    return "\n".join(lines)


def escaped(document: str) -> str:
    """A document of ours whose names and texts begin no HTML, code or link, whoever chose them.

    >>> escaped("## <script>")
    '## &lt;script>'
    """
    return _MARKUP.sub(r"\\\g<0>", document.replace("<", "&lt;"))


def _cell(text: str) -> str:
    """One line, whose bars end no cell."""
    text = " ".join(text.splitlines())
    return text.replace("\\", "\\\\").replace("|", "\\|") if "|" in text else text


def results(report: Report) -> str:
    """One row per model: requested precision, precision that ran, accuracy, speed."""
    metric = report.rows[0].score.name
    header = [
        "backend",
        "asked",
        "ran",
        metric,
        "change",
        "images/s",
        "times as fast as",
        "inference only/s",
        "infer p50 ms",
        "size MB",
    ]
    if report.published:
        header.insert(5, "published")
    rows = []
    for row in report.rows:
        cells = [
            row.backend,
            short(row.asked),
            str(row.ran),
            f"{row.score.value:.4f}",
            report.change_text(row),
            f"{row.timing.images_per_s:.1f}",
            f"{row.pace.ratio} {row.pace.against}" if row.pace else "",
            f"{row.timing.inference_only_per_s:.1f}",
            f"{row.timing.stages()['infer'].p50_ms:.2f}",
            f"{row.size_mb:.1f}",
        ]
        if report.published:
            published = report.published_for(row.asked)
            cells.insert(5, f"{published.value:.4f} (n={published.count})" if published else "")
        rows.append(cells)
    return table(header, rows, "<<<" + ">" * (len(header) - 3))


def stages(report: Report) -> str:
    """Median, 90th and 99th percentile of every stage of every model, in ms."""
    header = ["backend", "asked", *(name.replace("_", " ") for name in _STAGES)]
    rows = [[row.backend, short(row.asked), *_stage_cells(row)] for row in report.rows]
    return table(header, rows, "<<" + ">" * len(_STAGES))


def render(report: Report) -> str:
    """Render the whole report."""
    score, timing = report.rows[0].score, report.rows[0].timing
    others = sorted({name for row in report.rows for name in row.score.others})
    findings = report.findings()
    parts = [
        f"# {_cell(report.spec.name)}",
        f"**{_cell(verdict.of(report).sentence)}**",
        _cell(report.summary),
        results(report),
        f"{score.name} over {score.count} images ({_cell(report.data)}). {_parity(report)}",
        *([_sources(report)] if report.published else []),
        *(["\n".join(f"- {line}" for line in findings)] if findings else []),
        "## Time by stage",
        f"Milliseconds, median (p90, p99); batch {timing.batch}, {timing.threads} threads, {timing.inputs}, "
        f"{timing.images} images after {timing.warm_up} warm-up calls.",
        stages(report),
        "\n".join(f"- {name}: {text}" for name, text in timing.scope.items()),
    ]
    if report.devices:
        parts.append("## On a vendor's device")
        parts += [part for heading, section in devices.sections(report) for part in paragraphs(section, heading)]
    if others:
        lines = [
            [row.backend, short(row.asked), *(_number(row.score.others.get(name)) for name in others)]
            for row in report.rows
        ]
        parts += ["## Related scores", table(["backend", "asked", *others], lines, "<<" + ">" * len(others))]
    if per_class := classes(report):
        parts += [f"## {per_class[0]} by class", table(*per_class[1:], "<" + ">" * len(report.rows))]
    if reasoned := why(report):
        parts += ["## Why these builds", *reasoned]
    parts += ["## How", *how(report)]
    return escaped("\n\n".join(parts)) + "\n"


def classes(report: Report) -> tuple[str, list[str], list[list[str]]] | None:
    """The per-class metric's name, a header, and one row per class with each model's value; None without classes."""
    first = report.rows[0].score.per_class
    if not first:
        return None
    measure, labels = next(iter(first.items()))
    header = ["class", *(f"{row.backend} {short(row.asked)}" for row in report.rows)]
    by_row = [(row.score.per_class or {}).get(measure, {}) for row in report.rows]
    lines = [[label, *(_number(values.get(label)) for values in by_row)] for label in labels]
    return measure, header, lines


def why(report: Report) -> list[str]:
    """Paragraphs and tables on how each build was chosen."""
    return [part for heading, section in chosen(report) for part in paragraphs(section, heading)]


def chosen(report: Report) -> list[tuple[str, reasons.Section]]:
    """Every choice of every build, under a heading that names the build."""
    return [
        (f"{row.backend} {short(row.asked)}: {section.title}", section)
        for row in report.rows
        for section in reasons.sections(row.reasons)
    ]


def chosen_by(report: Report) -> list[str]:
    """One line for every choice of every build."""
    return [f"{heading}: {section.sentences[0]}" for heading, section in chosen(report)]


def paragraphs(section: reasons.Section, heading: str) -> list[str]:
    """One choice: its heading, its outcome, and its table."""
    return [f"### {heading}", "\n\n".join(section.sentences), table(section.header, section.rows, section.align)]


def build(artifact: CompiledArtifact) -> str:
    """How one build was chosen, as Markdown."""
    parts = [f"# {artifact.folder.name}", *reasons.summary(artifact)]
    for section in reasons.sections(Reasons.of(artifact.manifest)):
        parts += paragraphs(section, section.title)
    return "\n\n".join(parts)


def how(report: Report) -> list[str]:
    """Calibration, machine and versions, as sentences."""
    machine = report.machine
    lines = []
    records = (row.reasons.calibration for row in report.rows if row.reasons.calibration)
    used = dict.fromkeys((record.count, record.source) for record in records)
    lines += [f"int8 ranges from {count} images ({source})." for count, source in used]
    for row in report.rows:
        if row.reasons.half_type is not None:
            lines.append(f"{row.backend} {short(row.asked)}: {reasons.of_half_type(row.reasons.half_type)}")
        if row.measurements:
            chosen = ", ".join(f"{name} {value:.2f}" for name, value in row.measurements.items())
            lines.append(
                f"{row.backend} {short(row.asked)}: {', '.join(row.settings.values())} "
                f"chosen by measurement ({chosen})."
            )
    lines += loads(report)
    lines.append(
        f"{machine.cpu}, {machine.usable_cpus} usable of {machine.logical_cpus} CPUs, {machine.memory_gib} GiB, "
        f"flags {' '.join(machine.cpu_flags)}; {machine.system}; Python {machine.python}."
    )
    lines.append(", ".join(f"{name} {version}" for name, version in machine.packages.items()) + ".")
    lines.append(f"{report.source}; {report.created}; the whole run took {report.seconds:.0f} s.")
    return lines


def loads(report: Report) -> list[str]:
    """What other programs took of the CPUs while models were timed; nothing if that is not known."""
    shares = [row.timing.load.others for row in report.rows if row.timing.load.others is not None]
    shares += [row.pace.load.others for row in report.rows if row.pace and row.pace.load.others is not None]
    if not shares:
        return []
    share = f"{min(shares):.0%} to {max(shares):.0%}".replace("%", " %")
    return [f"While models were timed, other programs took {share} of the CPUs."]


def _parity(report: Report) -> str:
    if report.parity is None:
        return "No framework to compare the graph with."
    return (
        f"The exported graph differs from the framework by at most {report.parity.relative_error:.1e} of the largest "
        f"output (tolerance {report.parity.tolerance:.0e})."
    )


def _sources(report: Report) -> str:
    """Where each published score comes from."""
    named = (f"{short(score.precision)}: {_cell(score.source)}, {score.count} images" for score in report.published)
    return f"Published: {'; '.join(named)}."


def _stage_cells(row: Row) -> list[str]:
    summaries = row.timing.stages()
    return [
        f"{summaries[name].p50_ms:.2f} ({summaries[name].p90_ms:.2f}, {summaries[name].p99_ms:.2f})"
        if name in summaries
        else ""
        for name in _STAGES
    ]


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def _line(cells: Sequence[str], widths: Sequence[int], align: str) -> str:
    padded = (f"{cell:{side}{width}}" for cell, width, side in zip(cells, widths, align, strict=True))
    return "| " + " | ".join(padded) + " |"
