from __future__ import annotations

import subprocess
import sys

from nupic_client._suggest import did_you_mean, listed


def test_the_nearest_name_is_suggested():
    assert did_you_mean("top_b", ["top_p", "temperature"]) == "did you mean 'top_p'? "


def test_several_names_may_be_suggested():
    assert did_you_mean("ab", ["abc", "abd", "xy"], most=3) == "did you mean 'abd' or 'abc'? "


def test_nothing_is_suggested_where_nothing_is_near():
    assert did_you_mean("qqq", ["top_p", "temperature"]) == ""


def test_a_name_need_not_be_a_string():
    assert did_you_mean(None, ["top_p"]) == ""


def test_few_names_are_all_listed_and_many_are_counted():
    assert listed(["a", "b"]) == "'a', 'b'"
    assert listed(map(str, range(30)), most=2) == "'0', '1' and 28 more"


def test_difflib_is_imported_for_errors_only():
    code = "import sys, nupic_client.inference, nupic_client.streaming; sys.exit('difflib' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_name_may_differ_in_its_capitals():
    assert did_you_mean("INPUT0", ["input0", "other"]) == "did you mean 'input0'? "
    assert did_you_mean("x", ["X", "Y"]) == "did you mean 'X'? "
