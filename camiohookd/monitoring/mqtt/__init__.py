"""Publish events by MQTT, and describe the cameras and the box to Home Assistant.

    activity ─▶ Publisher (event loop): messages ─▶ Outbox (bounded) ─▶ Connection (its own threads) ─▶ broker

The event loop only puts messages into the outbox. paho-mqtt is imported only if ``[mqtt] host`` is set.
"""
