"""What commands print of scores and of runs that keep records."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from densecast.cli._common import emit
from densecast.io import codec

if TYPE_CHECKING:
    from densecast.results.compare import CompareResult
    from densecast.results.predictions import EvaluateResult
    from densecast.results.stored import ShardResult
    from densecast.spec.score import Score


def tell_score(result: EvaluateResult, tables: Callable[[Score], str], split: str, json: Path | None) -> None:
    """Print a score, with its table and what it was measured on."""
    score, model = result.score, result.model
    split = score.data.split if score.data else split
    lines = score_lines(score, split, f"{model.backend} {model.precision.ran}")
    if score.protocol is not None and score.data is not None:
        lines.append(f"protocol {score.protocol}, ids {score.data.ids_sha256[:12]}")
    if score.data is not None and score.data.layout is not None:
        lines.append(f"data: {score.data.layout}")
    lines += [f"note: {remark}" for remark in score.remarks]
    emit(codec.to_plain(result), below_table(tables(score), lines), json)


def score_lines(score: Score, split: str, measured_by: str, told: Sequence[str] = ()) -> list[str]:
    """A score, whatever is `told` of how it came about, and its further numbers, a line each."""
    first = f"{score.name}: {score.value:.4f} over {score.count} images ({split}), {measured_by}"
    return [first, *told, *(f"{name}: {value:.4f}" for name, value in score.others.items())]


def below_table(table: str, lines: Sequence[str]) -> str:
    """Lines below the table that a style of printing gives, if it gives one."""
    return "\n".join([*([f"{table}\n"] if table else []), *lines])


def tell_shard(result: ShardResult, json: Path | None) -> None:
    """Print what a shard holds, and name its failures on standard error."""
    name_failures(result.failed)
    named = result.store if result.shard == "1/1" else f"shard {result.shard} of {result.store}"
    text = f"{named}: {result.done} of {result.images} images done"
    text += f", {len(result.failed)} failed" if result.failed else ""
    emit(codec.to_plain(result), text, json)


def name_failures(failed: dict[str, str]) -> None:
    """Name every image that failed, with the reason, on standard error."""
    for sample_id, text in sorted(failed.items()):
        print(f"densecast: failed: {text if sample_id in text else f'{sample_id}: {text}'}", file=sys.stderr)


def tell_comparison(result: CompareResult, json: Path | None) -> None:
    """Print a comparison that came from records."""
    from densecast.report import accuracy_chain as report

    chain = report.AccuracyChain(result.model, result.reference, result.images, result.stages)
    notes = [f"note: {remark}" for remark in result.remarks]
    plain = [{"title": stage.title, **codec.to_plain(stage.comparison)} for stage in result.stages]
    emit(plain, "\n".join([report.table(chain), *report.explanations(chain), *notes]), json)
