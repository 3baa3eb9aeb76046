"""The report of a search: one HTML file that works offline."""

from pathlib import Path

from dashboards.frame import Results
from dashboards.page import report_page
from dashboards.standalone import standalone_html, write_page


def write_report(results: Results, path: Path) -> None:
    """Write the report to `path`; a reader sees the old file or the new one, never half of one."""
    write_page(report_html(results), path)


def report_html(results: Results) -> str:
    """Return the report as text."""
    return standalone_html(report_page(results), title=results.title)
