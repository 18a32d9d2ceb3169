"""The plots of the speed page, as SVG."""

from __future__ import annotations

from pathlib import Path
from typing import Any


def draw(parts: dict[str, dict[str, Any]], folder: Path) -> None:
    """Draw what was measured; without matplotlib the old plots stay."""
    try:
        import matplotlib as mpl
    except ImportError:
        print("no plots: pip install 'nupic-client[bench]'")
        return
    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "nupic_client"  # the same figures give the same file
    if "blast" in parts:
        bars(parts["blast"]["data"], folder / "blast.svg")


COLORS = {"bare": "#9aa5b1", "nupic_client": "#1f77b4", "tritonclient": "#d9822b"}


def color(way: str) -> str:
    return next(color for start, color in COLORS.items() if way.startswith(start))


def bars(data: dict[str, Any], file: Path) -> None:
    """Draw tokens per second of each way, a group for each number of streams."""
    import matplotlib.pyplot as plt

    figure, panes = plt.subplots(1, len(data), figsize=(11, 3.6), layout="constrained")
    for pane, (streams, ways) in zip(panes, data.items(), strict=True):
        names = list(ways)[::-1]
        rates = [sorted(ways[name]["rate"])[len(ways[name]["rate"]) // 2] / 1000 for name in names]
        pane.barh(
            names,
            rates,
            color=[color(name) for name in names],
        )
        pane.set_title(f"{streams} stream{'s' * (streams != '1')}", fontsize=10)
        pane.set_xlabel("thousand tokens/s")
        pane.tick_params(labelsize=8)
        pane.spines[["top", "right"]].set_visible(False)
        if pane is not panes[0]:
            pane.set_yticklabels([])
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)
