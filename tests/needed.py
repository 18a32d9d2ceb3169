"""Tests that need other libraries run in the session of nox that has them; there, one that is skipped is a failure."""

from __future__ import annotations

import os
from collections.abc import Generator, Sequence
from pathlib import Path

import pytest

__all__ = ["NoSkips", "fail_skips", "need"]

_VARIABLE = "NUPIC_INTEGRATION"
"""The environment variable with the name of the session that runs."""


def need(name: str) -> None:
    """Skip the module that calls this, but in the session of an integration or a recipe.

    Args:
        name: of the session, which is that of the folder of its tests.
    """
    (folder,) = _folders(name)
    if os.environ.get(_VARIABLE) != name:
        pytest.skip(f"run it with nox -s \"{folder.parent.name}(name='{name}')\"", allow_module_level=True)


def fail_skips(config: pytest.Config) -> None:
    """In the session of an integration or a recipe, make failures of skips."""
    name = os.environ.get(_VARIABLE)
    if name:
        config.pluginmanager.register(NoSkips(_folders(name), unless=f"counts of {name}"))


class NoSkips:
    """The plugin of pytest for that.

    Args:
        folders: the tests that must not be skipped.
        unless: the name of a plugin that decides in its place, as of `integrations.counts`.
    """

    def __init__(self, folders: Sequence[Path], unless: str = "") -> None:
        self._folders = folders
        self._unless = unless

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(
        self, item: pytest.Item
    ) -> Generator[None, pytest.TestReport, pytest.TestReport]:
        """Make a failure of a test that is skipped."""
        report = yield
        if report.skipped and not hasattr(report, "wasxfail") and self._must_run(item):
            report.outcome, report.longrepr = "failed", f"nothing may be skipped here: {report.longrepr}"
        return report

    @pytest.hookimpl(wrapper=True)
    def pytest_make_collect_report(
        self, collector: pytest.Collector
    ) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
        """Make a failure of a module that is skipped."""
        report = yield
        if report.skipped and self._must_run(collector):
            report.outcome, report.longrepr = "failed", f"nothing may be skipped here: {report.longrepr}"
        return report

    def _must_run(self, node: pytest.Item | pytest.Collector) -> bool:
        if node.config.pluginmanager.has_plugin(self._unless):
            return False
        return any(node.path.is_relative_to(folder) for folder in self._folders)


def _folders(name: str) -> list[Path]:
    kinds = (Path(__file__).with_name(kind) for kind in ("integrations", "recipes"))
    return [kind / name for kind in kinds if (kind / name).is_dir()]
