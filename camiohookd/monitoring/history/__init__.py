"""Keep what the status page shows of the past: the last events with thumbnails, the cameras, and a week's numbers.

    Activity ─▶ `History` (event loop) ─▶ one thread ─▶ `Archive` ─▶ event segments, cameras, trends
                    ▲                                      │          (the folder history/)
                    └── the page asks ◀── `Reader` ◀───────┘

Labeling does not depend on the history. A power cut may lose its last seconds. Damage loses only the damaged record.
"""
