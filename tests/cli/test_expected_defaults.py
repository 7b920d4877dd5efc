"""What people type without thinking means what they expect: letters of any case, text for paths, one unit, one line."""

from __future__ import annotations

import enum
import inspect
import re
from pathlib import Path

import onnx
import pytest
import tiny_graphs
from command_line import densecast, failed

import densecast as package
from densecast.errors import DensecastError
from densecast.spec import precision

# Members that densecast calls, not its users.
_CALLED_BY_DENSECAST = ("Artifact.", "Backend.", "DatasetFormat.", "FolderFormat.", "Task.")


def public_calls() -> dict[str, inspect.Signature]:
    found = {}
    for name in package.__all__:
        given = getattr(package, name)
        calls = {name: given} if inspect.isfunction(given) else {}
        if inspect.isclass(given) and not issubclass(given, (enum.Enum, Exception)):
            calls = {f"{name}.{each}": call for each, call in inspect.getmembers(given, callable) if each[0] != "_"}
        for called, call in calls.items():
            try:
                found[called] = inspect.signature(call)
            except (TypeError, ValueError):
                continue
    return found


def test_text_is_taken_wherever_a_path_is() -> None:
    paths = [
        (name, each.name, str(each.annotation))
        for name, signature in public_calls().items()
        for each in signature.parameters.values()
        if "Path" in str(each.annotation) and not name.startswith(_CALLED_BY_DENSECAST)
    ]
    assert len(paths) > 20
    assert not [each for each in paths if "str" not in each[2]]


def test_verbs_take_text_and_say_what_is_wrong_with_it_in_words(tmp_path: Path) -> None:
    onnx.save(tiny_graphs.brightness(), tmp_path / "net.onnx")
    exported = package.export(str(tmp_path / "net.onnx"), str(tmp_path / "float"), labels=2)
    built = package.build(str(exported.folder), str(tmp_path / "built"), package.BuildOptions("onnxruntime"))
    assert package.verify(str(built.folder)) is not None
    for call in (package.build, package.evaluate, package.verify, package.Pipeline.open, package.info):
        with pytest.raises(DensecastError):
            call(str(tmp_path / "nothing.onnx"))


@pytest.mark.parametrize("name", ["INT8", " Fp16", "force_FLOAT32"])
def test_precisions_are_known_in_any_case(name: str) -> None:
    assert precision.parse(name) in precision.PRECISIONS


@pytest.mark.parametrize("colour", ["rgb", "BGR", "Bgr"])
def test_colours_are_known_in_any_case_and_one_mean_is_for_all_channels(colour: str, tmp_path: Path) -> None:
    onnx.save(tiny_graphs.brightness(), tmp_path / "net.onnx")
    said = ("--labels", "a,b", "--colour", colour, "--mean", "0.5", "--std", "0.25", "--divisor", "255")
    ended = densecast("export", tmp_path / "net.onnx", *said, "--out", tmp_path / "float", "-q")
    assert ended.code == 0, ended.err
    preprocess = package.Artifact.open(tmp_path / "float").spec.preprocess
    assert preprocess.colour == colour.upper()
    assert set(preprocess.mean) == {0.5} and set(preprocess.std) == {0.25} and preprocess.divisor == 255
    pink = ("export", tmp_path / "net.onnx", "--labels", "a,b", "--colour", "pink", "--out", tmp_path / "x", "-q")
    assert failed(2, *pink).startswith("--colour: must be 'RGB'")


def test_every_largest_drop_is_in_points_and_says_so() -> None:
    for verb in ("build", "run", "compare"):
        lines = densecast(verb, "--help").out.splitlines()
        first = next(place for place, line in enumerate(lines) if re.match(r"\W{0,6}--max-drop\b", line))
        assert "points" in " ".join(lines[first : first + 6]), verb


@pytest.mark.slow
@pytest.mark.torch
def test_an_export_that_fails_says_so_in_one_plain_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """Torch prints its own representation of the network for some failures, with codes for a terminal's colours."""
    torch = pytest.importorskip("torch")

    class Odd(torch.nn.Module):
        def forward(self, image: torch.Tensor) -> torch.Tensor:
            return torch.linalg.eigvals(image[:, :1] @ image[:, :1].transpose(2, 3)).real[..., None] + image[:, :2]

    with pytest.raises(DensecastError) as caught:
        package.export(Odd(), tmp_path / "float", labels=2, example=(32, 32))
    seen = capfd.readouterr()
    assert "\x1b" not in str(caught.value) and len(str(caught.value).splitlines()) == 1
    assert "graph(" not in seen.out + seen.err and "\x1b" not in seen.out + seen.err
