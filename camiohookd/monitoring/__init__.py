"""Tell how the service is doing: metrics, history, notifications and MQTT.

    worker, web ─▶ activity ─▶ history (the status page)   metrics (Prometheus)   mqtt (Home Assistant)
                   status (one summary for all) ─▶ notify (command, webhook)

Nothing here holds up an event.
"""
