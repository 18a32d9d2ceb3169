"""The table of the texts: each rule is tried."""

from __future__ import annotations

from core.kserve.error_texts import TEXTS

from nupic_client._core.kserve.error_rules import RULES
from nupic_client._core.kserve.server_words import core_of, without_exception


def test_each_rule_is_tried():
    cores = [without_exception(core_of(said.text)) for said in TEXTS]
    tried = [next(rule for rule in RULES if rule.pattern.search(core)) for core in cores]
    assert set(RULES) == set(tried)


def test_the_sentences_are_not_of_the_connection():
    assert not [rule.sentence for rule in RULES if rule.sentence.startswith("cannot reach the server")]
