"""Write public_names.json, defaults.json and json_contract.json: what users and their scripts rely on, as it is now.

    python tests/golden/make_contract_goldens.py [names | defaults | json]

Without a word all. Needs every extra. A difference that this writes is one that users see: look at it before it is
committed, and tell it in CHANGELOG.md.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(TESTS), str(TESTS / "support")]


def write(path: Path, found: object) -> None:
    path.write_text(json.dumps(found, indent=1, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")


def main() -> None:
    wanted = sys.argv[1:] or ["names", "defaults", "json"]
    if "names" in wanted:
        import test_public_names as names

        write(names.GOLDEN, names.public_names())
    if "defaults" in wanted:
        import test_defaults as contract_of_defaults

        write(contract_of_defaults.GOLDEN, contract_of_defaults.defaults())
    if "json" in wanted:
        import test_json_contract as contract

        with tempfile.TemporaryDirectory() as folder:
            os.environ["DENSECAST_CACHE"] = f"{folder}/cache"
            write(contract.GOLDEN, contract.everything(Path(folder)))


if __name__ == "__main__":
    main()
