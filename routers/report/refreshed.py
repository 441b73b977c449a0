"""The report on a refreshed map: in come the report on the training and the new map, out comes a report that is true.

What the classifier does was measured in training and stands. Whom the map names, and why, is of the new map. The
policies were judged on rows that are not there any more: they stay, marked as those of the training.
"""

from pathlib import Path

from routers.mapping.refresh import Refreshed
from routers.report.document import JSON_FILE, RefreshedEntry, ReportDocument
from routers.report.preferences import default_expert, preferences


def read_report(directory: Path) -> ReportDocument | None:
    """The report beside a router that was checked; None where it has none, or one of another version."""
    try:
        return ReportDocument.from_json((directory / JSON_FILE).read_bytes())
    except (FileNotFoundError, ValueError):
        return None


def refreshed_report(document: ReportDocument, found: Refreshed) -> ReportDocument:
    """`document`, of the router that was refreshed, as the report on what became of it."""
    router, expert_map = found.router, found.router.expert_map
    assert expert_map is not None  # it was just learned
    before = 0 if document.refreshed is None else document.refreshed.outcomes
    own = preferences(router.paired, expert_map, router.categories)
    return document.model_copy(
        update={
            "categories": tuple(
                entry.model_copy(update=preference._asdict())
                for entry, preference in zip(document.categories, own, strict=True)
            ),
            "general": expert_map.default,
            "refreshed": RefreshedEntry(
                outcomes=before + found.probes + found.served,
                default=default_expert(router.paired, expert_map),
                evidence=expert_map.evidence,
            ),
        }
    )
