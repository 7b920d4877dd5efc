"""Kills an evaluation that keeps records at random moments; the same command then has to end with the same score.

    PYTHONPATH=tests/support python tests/faults/kills.py --count 50 --images 400 [--among] [--ray 10] [--json FILE]

Each trial has a store of its own. `command` is killed as a whole and started again; of `worker` the process that
computes is killed, and of `actor` and `machine` (with --ray; two machines that are processes of this one) Ray's, and
the command itself has to go on; these are killed when a random number of images has been computed. A trial holds if the
score is that of an undisturbed run to the last digit, every image has one record, every part is whole, no record was
made anew, and no more images were computed twice than were in the parts at work. Exit code 1 if one does not hold.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from made_stores import prepare, rows

ROOT = Path(__file__).parents[2]
METRIC = "poison_metric:Poison"
PART = 20
_LIMIT_S = 300


@dataclass
class Trial:
    """One kill: after how many seconds, what was recorded by then, and how many images were computed twice."""

    kind: str
    after_s: float
    recorded: int
    twice: int
    broken: str


class Campaign:
    """A tiny model, its data, and the score of an undisturbed run."""

    def __init__(self, folder: Path, images: int) -> None:
        self.root, self.images = prepare(folder / "made", count=images), images
        self.log = folder / "computed.txt"
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "tests" / "support")]),
            "DENSECAST_PLUGINS": "poison_metric",
            "POISON_LOG": str(self.log),
            "POISON_SLEEP_S": "0.005",
            "OMP_NUM_THREADS": "1",
        }
        began = time.monotonic()
        done = self.start(folder / "plain")
        self.score = self.ended(done)
        self.whole_s = time.monotonic() - began

    def start(self, store: Path, on: str = "local") -> subprocess.Popen[str]:
        """The command at work, in a session of its own."""
        words = ["evaluate", self.root / "built", "--data", self.root / "data", "--split", "all", "--metric", METRIC]
        words += ["--store", store, "--shard-size", PART, "--on", on, "-q"]
        command = [sys.executable, "-m", "densecast", *map(str, words)]
        return subprocess.Popen(
            command,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def ended(self, process: subprocess.Popen[str]) -> str:
        """The line with the score.

        Raises:
            AssertionError: it ended in another way.
        """
        out, err = process.communicate(timeout=_LIMIT_S)
        assert process.returncode == 0, f"exit code {process.returncode}: {err.strip()[-300:]}"
        found = re.search(r"dice\w*: [0-9.]+", out)
        assert found, out
        return found[0]

    def trial(
        self,
        kind: str,
        after_s: float,
        store: Path,
        kill: Callable[[int], None],
        on: str = "local",
        computed: int = 0,
    ) -> Trial:
        """Kill once, so many seconds after so many images were computed; go on, and look."""
        self.log.unlink(missing_ok=True)
        process = self.start(store, on)
        deadline = time.monotonic() + _LIMIT_S
        while computed and time.monotonic() < deadline and process.poll() is None and self.computed() < computed:
            time.sleep(0.01)
        time.sleep(after_s)
        before: dict[str, Any] = {}
        broken = ""
        try:
            kill(process.pid)
            if kind == "command":
                process.communicate()
                # What computes ends with the command, which takes it a moment.
                time.sleep(0.3)
            before = {row["id"]: row["finished"] for row in rows(store)}
            score = self.ended(self.start(store) if kind == "command" else process)
            assert score == self.score, f"{score} instead of {self.score}"
            after = rows(store)
            counted = Counter(row["id"] for row in after)
            assert len(counted) == self.images and set(counted.values()) == {1}, "an image is not counted once"
            made = {row["id"]: row["finished"] for row in after}
            assert all(made[each] == finished for each, finished in before.items()), "a record was made anew"
            assert not list(store.rglob(".densecast-*")), "a temporary file was left"
        except (AssertionError, OSError, subprocess.TimeoutExpired) as error:
            broken = f"{type(error).__name__}: {error}"
        finally:
            process.kill()
        twice = self.computed() - self.images
        # A worker that dies has a part at work and, while it writes that, none; two machines have two.
        most = PART * (2 if kind in ("actor", "machine") else 1)
        if not broken and twice > most:
            broken = f"{twice} images were computed twice"
        shutil.rmtree(store, ignore_errors=True)
        return Trial(kind, round(after_s, 2), len(before), twice, broken)

    def computed(self) -> int:
        """How many images were computed by now, those that were computed twice counted twice."""
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


def kill_command(process: int) -> None:
    """End the command itself."""
    os.kill(process, signal.SIGKILL)


def kill_worker(process: int) -> None:
    """End the process that computes, if there is one by now: the child that was spawned."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            fields = (path / "stat").read_text().rpartition(")")[2].split()
            if int(fields[1]) == process and b"spawn_main" in (path / "cmdline").read_bytes():
                os.kill(int(path.name), signal.SIGKILL)
        except OSError:
            continue


def on_cluster(campaign: Campaign, folder: Path, count: int, rng: random.Random, told: Callable[[Trial], None]) -> None:
    """Kill actors and machines of a cluster of two machines."""
    os.environ.update(campaign.environment)
    # A busy machine takes its time to start one more of itself.
    os.environ.setdefault("RAY_raylet_start_wait_time_s", "180")
    from ray.cluster_utils import Cluster

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        for number in range(count):
            kind = ("actor", "machine")[number % 2]
            node = made.add_node(num_cpus=1)

            def kill(process: int, kind: str = kind, node: Any = node) -> None:
                if kind == "machine":
                    made.remove_node(node, allow_graceful=False)
                    return
                for path in Path("/proc").glob("[0-9]*"):
                    try:
                        if b"ray::Worker" in (path / "cmdline").read_bytes():
                            os.kill(int(path.name), signal.SIGKILL)
                            return
                    except OSError:
                        continue

            # A cluster's start takes longer than the images: half a minute of it would be all that is hit.
            place = rng.randrange(1, campaign.images)
            told(campaign.trial(kind, rng.uniform(0, 0.2), folder / f"ray{number}", kill, f"ray:{made.address}", place))
            if kind == "actor":
                made.remove_node(node)
    finally:
        made.shutdown()


def main() -> int:
    """Read the command line; returns the exit code."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--count", type=int, default=50, help="kills of each kind")
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--ray", type=int, default=0, help="kills of actors and machines of a cluster")
    parser.add_argument("--among", action="store_true", help="kill while images are computed, never before")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    rng, trials = random.Random(given.seed), list[Trial]()

    def told(trial: Trial) -> None:
        trials.append(trial)
        print(trial, file=sys.stderr, flush=True)

    with tempfile.TemporaryDirectory(prefix="densecast-kills-") as name:
        folder = Path(name)
        campaign = Campaign(folder, given.images)
        print(f"undisturbed: {campaign.score}, {campaign.whole_s:.1f} s", file=sys.stderr, flush=True)
        for number in range(2 * given.count):
            kind, kill = (("command", kill_command), ("worker", kill_worker))[number % 2]
            # The start takes longer than the images, and is most of what is hit unless these are meant.
            after_s = rng.uniform(0, 0.2 if given.among else campaign.whole_s)
            place = rng.randrange(1, given.images) if given.among else 0
            told(campaign.trial(kind, after_s, folder / f"run{number}", kill, computed=place))
        if given.ray:
            on_cluster(campaign, folder, given.ray, rng, told)
    print(f"{'killed':10}{'trials':>8}{'held':>6}{'most twice':>12}{'recorded then':>16}")
    for kind in dict.fromkeys(each.kind for each in trials):
        own = [each for each in trials if each.kind == kind]
        recorded = f"{min(each.recorded for each in own)}-{max(each.recorded for each in own)}"
        held, twice = sum(not each.broken for each in own), max(each.twice for each in own)
        print(f"{kind:10}{len(own):8}{held:6}{twice:12}{recorded:>16}")
    if given.json:
        given.json.parent.mkdir(parents=True, exist_ok=True)
        given.json.write_text(json.dumps([asdict(each) for each in trials], indent=1))
    return 1 if any(each.broken for each in trials) else 0


if __name__ == "__main__":
    sys.exit(main())
