"""Tell the owner of trouble without a server: a command or a webhook is called when it begins and when it is over.

    Facts ─▶ conditions.troubles ─▶ ledger: begins, over ─▶ outbox (bounded) ─▶ channels: command, webhook

Nothing here holds up the events: facts are read every half minute, and a channel that hangs is given up.
"""
