"""The status page: server-rendered HTML on the private listener, for a phone and a desktop.

`sources` says what it shows, `site` which paths there are, `endpoint` what all pages share. ``templates/`` are Tornado
templates, ``static/`` is the style, the scripts and uPlot. Everything works without scripts except live updates, charts
and the zone editor.
"""
