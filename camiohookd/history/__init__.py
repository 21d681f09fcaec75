"""The history of the status page: the last events with small pictures, the cameras, and the numbers of a week.

    Activity ─▶ `History` (event loop) ─▶ one thread ─▶ `Archive` ─▶ event segments, cameras, trends
                    ▲                                      │          (the folder history/)
                    └── the page asks ◀── `Reader` ◀───────┘

Nothing here is needed to label events. A power cut may take the last seconds of it, and damage costs only the record
that it hits.
"""
