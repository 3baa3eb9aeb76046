"""Every view for those who use it otherwise: axe finds nothing serious, in light and in dark."""

import pytest
from playwright.sync_api import expect


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_no_view_keeps_anybody_out(theme, dashboard, open_page, violations):
    page = open_page(dashboard, theme=theme)
    found = {}
    for name in ("Frontier", "Candidate", "Progress", "Why", "Compare", "Table"):
        page.get_by_role("navigation", name="Views").get_by_role("link", name=name).click()
        expect(page.locator("nav a[aria-current]")).to_have_text(name)
        expect(page.locator("main h3").first).to_be_visible()
        found[name] = violations(page)
    assert not any(found.values()), found


def test_an_alarm_keeps_nobody_out(dashboard, source, open_page, violations):
    page = open_page(dashboard)
    source.fail(OSError("gone"))
    expect(page.locator("[data-slot=alarms] [role=alert]")).to_contain_text("gone")
    assert violations(page) == []
