"""Canaries for what we rely on inside Jinja2: see `canary`."""

from __future__ import annotations

import pytest
from canary import canary

from nupic_client import PromptError, PromptFormatter, user
from nupic_client.prompts import budget, sandbox


def rendered(template: str) -> str:
    return PromptFormatter.from_jinja(template)([user("hi")])


def test_a_template_is_changed_before_it_is_compiled():
    with canary(
        "jinja2",
        "Environment._parse",
        sandbox,
        "a chat template from a model's repository can run for ever",
    ):
        # No filter and no call in the inner loop: what counts its turns is put there by us.
        with pytest.raises(PromptError, match=r"more than .* steps"):
            rendered(
                "{% set many = range(2000) %}{% for i in many %}{% for j in many %}{% endfor %}{% endfor %}"
            )


def test_filters_that_take_the_context_are_known():
    with canary(
        "jinja2",
        "the attribute jinja_pass_arg of filters",
        sandbox,
        "chat templates with filters such as map and select fail",
    ):
        assert rendered("{{ messages | map(attribute='content') | select('string') | join }}") == "hi"


def test_what_is_in_a_namespace_is_paid_for():
    template = (
        "{% set ns = namespace(many=range(SIZE) | list) %}"
        "{% for i in range(1000) %}{% if ns == i %}{% endif %}{% endfor %}{{ messages[0].content }}"
    )
    with canary(
        "jinja2",
        "Namespace.__attrs",
        budget,
        "chat templates that compare or print a namespace fail, or can run for ever",
    ):
        assert rendered(template.replace("SIZE", "10")) == "hi"
        with pytest.raises(PromptError, match=r"more than .* steps"):
            rendered(template.replace("SIZE", "10000"))
