"""TLS from the settings of other programs."""

from __future__ import annotations

import pytest

from nupic_client import TLS, ConfigurationError
from nupic_client.integrations.tls import tls_of


def test_a_mapping_has_the_arguments_of_tls():
    assert tls_of({"target_name": "models.example"}) == TLS(target_name="models.example")
    assert tls_of({}) == TLS()


def test_another_name_is_an_error_that_says_which_there_are():
    with pytest.raises(ConfigurationError, match=r"tls must have .*target_name.* only, not 'ca'"):
        tls_of({"ca": "x"})
