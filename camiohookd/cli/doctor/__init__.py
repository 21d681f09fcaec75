"""Examine the service from end to end: `examination.examine` yields a `Finding` for each check.

    settings, files, keys ─▶ state folder, clock ─▶ model ─▶ listeners, TLS ─▶ from outside in ─▶ Camio, callbacks
                                                                           one simulated event, end to end ◀─┘

Each module has a group of checks. They change nothing, except that one test event goes through the queue.
"""
