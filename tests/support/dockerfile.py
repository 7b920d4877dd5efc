"""The instructions of the containers' file, and of one image that is made of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FILE = ROOT / "containers" / "Dockerfile"


@dataclass(frozen=True)
class Step:
    """One instruction: its name, its words, and the stage that it is in."""

    name: str
    words: str
    stage: str


def steps() -> list[Step]:
    """All instructions, in order."""
    lines = [
        line for line in FILE.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")
    ]
    found: list[Step] = []
    stage = ""
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        name, _, words = line.strip().partition(" ")
        if name == "FROM":
            stage = words.split(" AS ")[1]
        found.append(Step(name, " ".join(words.split()), stage))
    return found


def of(name: str) -> list[str]:
    """The words of all instructions of that name."""
    return [step.words for step in steps() if step.name == name]


def image(target: str) -> list[Step]:
    """The instructions that an image consists of: those of its stage, after those of the stages that it begins with."""
    begins = {step.stage: step.words.split(" AS ")[0] for step in steps() if step.name == "FROM"}
    below = image(begins[target]) if begins[target] in begins else []
    return [*below, *(step for step in steps() if step.stage == target)]


def words(target: str, name: str) -> list[str]:
    """The words of an image's instructions of that name."""
    return [step.words for step in image(target) if step.name == name]
