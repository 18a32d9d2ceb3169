"""Check with pyright's ``--verifytypes`` that a user's type checker knows the type of every public name.

Run it where the wheel and basedpyright are installed: a wheel is what users have. It is pyright with everything it needs in
packages of PyPI.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

NOT_COUNTED = (
    "nupic_client.integrations.",  # their libraries, from which their types come, are not installed here
    "nupic_client.local.triton.python_model.",  # it runs inside Triton only
)


def main() -> None:
    """Exit with the names whose types are not known."""
    program = Path(sys.executable).with_name("basedpyright")
    command = [program, "--verifytypes", "nupic_client", "--ignoreexternal", "--outputjson"]
    # It finds the packages by the first Python on the path, whatever ``--pythonpath`` says.
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, "PATH": path}
    )
    report = json.loads(done.stdout)
    completeness = report.get("typeCompleteness")
    if not completeness or not completeness["symbols"]:
        raise SystemExit(f"there is no report: {report['generalDiagnostics']}")
    symbols = [symbol for symbol in completeness["symbols"] if not symbol["name"].startswith(NOT_COUNTED)]
    unknown = [symbol for symbol in symbols if not symbol["isTypeKnown"] or symbol["isTypeAmbiguous"]]
    for symbol in unknown:
        print(symbol["name"], *(found["message"] for found in symbol["diagnostics"]), sep="\n    ")
    print(f"{len(symbols) - len(unknown)} of {len(symbols)} names have a known type")
    if unknown:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
