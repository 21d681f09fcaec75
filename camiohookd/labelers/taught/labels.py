"""Which labels were taught, for checks of the settings."""

from pathlib import Path


def taught_labels(state: Path) -> tuple[str, ...]:
    """Return the labels that were taught in the `state` folder; what cannot be read is left out."""
    if not any((state / "taught").glob("*.taught")):
        return ()  # what reads them takes long to import
    from camiohookd.labelers.taught import places, store
    from camiohookd.labelers.taught.labeler import OTHER

    found: list[str] = []
    try:
        for path in places.files(state):
            taught = store.read(path)
            changed = [taught.changed_label] if taught.zone and taught.reports != "state" else []
            found += [*(label for label in taught.labels if label != OTHER), *changed]
    except (places.TaughtError, OSError):
        pass  # the daemon says it
    return tuple(dict.fromkeys(found))
