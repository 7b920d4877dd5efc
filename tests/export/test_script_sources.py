"""A TorchScript archive's source is read before torch loads it: what it calls is known before any of it runs."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from densecast.errors import BadGraphError
from densecast.verbs.export import script_operators

pytest.importorskip("torch")
pytestmark = pytest.mark.torch


def archive(path: Path, *lines: str, name: str = "net/code/__torch__/a.py") -> Path:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr(name, "\n".join(["def forward(self, x):", *(f"  {line}" for line in lines), "  return x"]))
    return path


@pytest.mark.parametrize(
    ("line", "operator"),
    [
        ('x = torch.from_file("secret", False, 9)', "aten::from_file"),
        ('x = torch.add(x, torch.from_file("secret", False, 9))', "aten::from_file"),
        ('ops.aten.save(x, "out")', "aten::save"),
        ("y = ops.other.run(x)", "other::run"),
    ],
)
def test_an_operator_that_reaches_out_is_named(line: str, operator: str, tmp_path: Path) -> None:
    path = archive(tmp_path / "a.pt", "y = torch.relu(x)", line)
    with pytest.raises(BadGraphError, match=f"operators that no network needs: {operator}"):
        script_operators.check_source(path)


def test_what_computes_is_taken_and_other_files_of_the_archive_are_no_source(tmp_path: Path) -> None:
    script_operators.check_source(archive(tmp_path / "a.pt", "y = torch.relu(x)", "z = torch.conv2d(y, self.weight)"))
    script_operators.check_source(archive(tmp_path / "b.pt", "x = torch.from_file(x)", name="net/extra/readme.py"))
    (tmp_path / "c.pt").write_bytes(b"no archive")
    script_operators.check_source(tmp_path / "c.pt")
    with pytest.raises(BadGraphError, match=r"holds source that is no TorchScript \(SyntaxError\)"):
        script_operators.check_source(archive(tmp_path / "d.pt", "x ="))
