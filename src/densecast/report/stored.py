"""Renders what a store holds as text."""

from __future__ import annotations

from densecast.report import accuracy_chain
from densecast.report.accuracy_chain import AccuracyChain
from densecast.report.markdown import table
from densecast.results.stored import StoreReport

_NAMED = 20


def text_of(report: StoreReport) -> str:
    """The score with its classes, the worst images, what failed, what images cost, and who computed them."""
    lines = [f"{report.model}: {report.done} of {report.images} images done, {len(report.failed)} failed"]
    lines += [f"note: {remark}" for remark in report.remarks]
    score = report.score
    if score is not None:
        lines.append(f"{score.name}: {score.value:.4f} over {score.count} images")
        lines += [f"{name}: {value:.4f}" for name, value in score.others.items()]
        lines += [f"note: {remark}" for remark in score.remarks]
        if score.per_class:
            names = list(score.per_class)
            classes = list(next(iter(score.per_class.values())))
            rows = [[each, *(_shown(score.per_class[name].get(each)) for name in names)] for each in classes]
            lines += ["", table(["class", *names], rows, "<" + ">" * len(names))]
    if report.compared:
        chain = AccuracyChain(report.model, report.compared[0].comparison.reference, report.done, report.compared)
        lines += ["", accuracy_chain.table(chain), *accuracy_chain.explanations(chain)]
    if report.worst and (score is not None or report.compared):
        rows = [[sample_id, f"{value:.4f}"] for sample_id, value in report.worst.items()]
        lines += ["", table(["worst images", score.name if score is not None else "differs by"], rows, "<>")]
    if report.failed:
        rows = [[sample_id, text] for sample_id, text in list(report.failed.items())[:_NAMED]]
        lines += ["", table(["failed", "why"], rows, "<<")]
        if len(report.failed) > _NAMED:
            lines.append(f"and {len(report.failed) - _NAMED} more; all are in failed/*.parquet")
    if report.stages:
        rows = [
            [name, *(f"{value:.2f}" for value in (cost.p50_ms, cost.p90_ms, cost.p99_ms))]
            for name, cost in report.stages.items()
        ]
        lines += ["", table(["ms an image", "p50", "p90", "p99"], rows, "<>>>")]
    if len(report.hosts) > 1:
        lines += ["", table(["machine", "images"], [[host, str(count)] for host, count in report.hosts.items()], "<>")]
    return "\n".join(lines)


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
