"""Patterns of sites: whole names, their ends, and wildcards."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracetui.errors import InputError
from tracetui.recording.keep import parse_keep
from tracetui.recording.sites import MAX_PATTERN, SitePattern, parse_pattern

SITE = "model.layers.7.mlp"


@pytest.mark.parametrize(
    ("pattern", "site", "fits"),
    [
        (SITE, SITE, True),
        ("layers.7.mlp", SITE, True),
        ("mlp", SITE, True),
        ("ayers.7.mlp", SITE, False),
        ("layers.7", SITE, False),
        ("layers.7.*", SITE, True),
        ("layers.7.*", "model.layers.70.mlp", False),
        ("*.gate", "model.layers.3.mlp.gate", True),
        ("*.gate", "model.layers.3.mlp.gate_proj", False),
        ("layers.?.mlp", SITE, True),
        ("layers.[67].mlp", SITE, True),
        ("*:probs", "model.layers.0.self_attn:probs", True),
        ("self_attn:q", "model.layers.0.self_attn:q", True),
        ("self_attn", "model.layers.0.self_attn:q", False),
        ("*", SITE, True),
        ("MLP", SITE, False),
        ("logits", "logits", True),
        ("a+b(", "a+b(", True),
    ],
)
def test_a_pattern_fits_a_whole_site_or_its_end(pattern: str, site: str, fits: bool) -> None:
    assert SitePattern(pattern).matches(site) is fits


@given(st.text(st.characters(exclude_characters="*?[]"), min_size=1), st.text())
def test_every_site_fits_its_own_name_and_everything(site: str, before: str) -> None:
    assert SitePattern(site).matches(site)
    assert SitePattern(site).matches(f"{before}.{site}")
    assert SitePattern("*").matches(site)


def test_many_stars_cost_no_time() -> None:
    assert not SitePattern("*a" * 50 + "b").matches("a" * 5000)


@pytest.mark.parametrize("text", ["", "  ", "x" * (MAX_PATTERN + 1)])
def test_what_is_no_pattern_is_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^--keep: must be a site, such as layers.7.mlp"):
        parse_pattern(text, "--keep")


def test_all_and_stats_are_words_and_patterns_add_up() -> None:
    assert SITE in parse_keep(["all"], "--keep")
    assert SITE in parse_keep(["stats", "all", "x"], "--keep")
    assert SITE not in parse_keep(["stats"], "--keep")
    some = parse_keep(["stats", "*.gate", "mlp"], "--keep")
    assert SITE in some
    assert "lm_head" not in some
    assert some.unmatched([SITE]) == ("*.gate",)
    assert some.plain == ["*.gate", "mlp"]
