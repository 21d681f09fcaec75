"""Notify the owner of trouble: run a command or call a webhook when it begins and when it ends.

    Facts ─▶ conditions.troubles ─▶ ledger: begins, over ─▶ outbox (bounded) ─▶ channels: command, webhook

Nothing here holds up the events: facts are read every half minute, and a channel that hangs is given up.
"""
