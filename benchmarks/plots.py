"""The plots of the speed page, as SVG."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any


def can_draw(names: Iterable[str]) -> bool:
    """Return whether these parts have no plots, or matplotlib is there to draw them."""
    return PLOTS.keys().isdisjoint(names) or importlib.util.find_spec("matplotlib") is not None


def draw(records: dict[str, dict[str, Any]], folder: Path) -> None:
    """Draw what was measured, ``<part>.svg`` for each part that has a plot; needs matplotlib."""
    names = PLOTS.keys() & records
    if not names:
        return
    if not can_draw(names):
        print("no plots: pip install 'nupic-client[bench]'")
        return
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams["svg.hashsalt"] = "nupic_client"  # the same figures give the same file
    for name in sorted(names):
        PLOTS[name](records[name]["data"], folder / f"{name}.svg")


COLORS = {"bare": "#9aa5b1", "nupic_client": "#1f77b4", "tritonclient": "#d9822b"}


def color(way: str) -> str:
    return next(color for start, color in COLORS.items() if way.startswith(start))


def middle(values: Sequence[float]) -> float:
    return sorted(values)[len(values) // 2]


def bars(data: dict[str, Any], file: Path) -> None:
    """Draw tokens per second of each way, a group for each number of streams."""
    import matplotlib.pyplot as plt

    figure, panes = plt.subplots(1, len(data), figsize=(11, 3.6), layout="constrained")
    for pane, (streams, ways) in zip(panes, data.items(), strict=True):
        names = list(ways)[::-1]
        rates = [middle(ways[name]["rate"]) / 1000 for name in names]
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


def paced(data: dict[str, Any], file: Path) -> None:
    """Draw what each way takes from the processor and how late it delivers, a group for each pace."""
    import matplotlib.pyplot as plt

    figure, panes = plt.subplots(1, 2, figsize=(11, 4.6), layout="constrained")
    ways = list(next(iter(data.values())))
    height = 0.8 / len(ways)
    for pane, column in zip(panes, ("CPU µs/token", "p99 µs"), strict=True):
        for index, way in enumerate(ways):
            values = [middle(pace[way][column]) if way in pace else float("nan") for pace in data.values()]
            places = [group + index * height for group in range(len(data))]
            lighter = 0.55 if "async" in way or "aio" in way else 1.0
            pane.barh(places, values, height, color=color(way), alpha=lighter, label=way, edgecolor="white")
        pane.set_yticks([group + 0.4 - height / 2 for group in range(len(data))], list(data), fontsize=8)
        pane.invert_yaxis()
        pane.set_xlabel("client CPU, µs a token" if column.startswith("CPU") else "delivery latency p99, µs")
        pane.tick_params(labelsize=8)
        pane.spines[["top", "right"]].set_visible(False)
    panes[1].set_xscale("log")
    panes[1].legend(fontsize=7, frameon=False)
    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


def first_tokens(data: dict[str, Any], file: Path) -> None:
    """Draw how many of the streams have their first token after how long."""
    import matplotlib.pyplot as plt

    figure, panes = plt.subplots(1, 2, figsize=(11, 3.2), layout="constrained")
    for pane, kind in zip(panes, ("tasks", "threads"), strict=True):
        for way, found in data[kind].items():
            pane.plot([seconds * 1e3 for seconds in found["first"]], range(101), label=way, color=color(way))
        pane.set_title(f"first token, by {kind}", fontsize=10)
        pane.set_xlabel("ms after the request")
        pane.set_ylabel("% of the streams")
        pane.set_xlim(left=0)
        tidy(pane)
    save(figure, file)


def memory(data: dict[str, Any], file: Path) -> None:
    """Draw the resident memory over the generations and requests."""
    import matplotlib.pyplot as plt

    figure, pane = plt.subplots(figsize=(7, 3), layout="constrained")
    for way, style in (("sync", "-"), ("async", "--"), ("sync requests", ":"), ("async requests", "-.")):
        done = [sample["done"] / 1000 for sample in data[way]]
        pane.plot(
            done,
            [sample["resident"] for sample in data[way]],
            f"o{style}",
            label=way,
            color=color("nupic_client"),
        )
    pane.set_xlabel("thousand generations or requests")
    pane.set_ylabel("resident memory, MiB")
    pane.set_ylim(0, pane.get_ylim()[1] * 1.1)
    tidy(pane)
    save(figure, file)


def tidy(pane: Any) -> None:
    pane.legend(fontsize=8, frameon=False)
    pane.tick_params(labelsize=8)
    pane.spines[["top", "right"]].set_visible(False)


def save(figure: Any, file: Path) -> None:
    import matplotlib.pyplot as plt

    figure.savefig(file, metadata={"Date": None})
    plt.close(figure)


PLOTS = {"blast": bars, "triton": paced, "many": first_tokens, "leak": memory}
"""What draws the figures of a part."""
