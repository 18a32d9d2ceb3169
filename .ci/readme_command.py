"""Print the command of the README that stands under the mark ``<!-- command: NAME -->``."""

import re
import sys
from pathlib import Path

readme = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
match = re.search(rf"<!-- command: {re.escape(sys.argv[1])} -->\n```bash\n(.+)\n```", readme)
if match is None:
    sys.exit(f"the README has no command {sys.argv[1]!r}")
print(match[1])
