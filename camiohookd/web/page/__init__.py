"""Serve the status page: HTML on the private listener, for phones and desktops.

`sources` lists what it shows, `site` its paths, and `endpoint` has what all pages share. ``templates/`` has Tornado
templates; ``static/`` has the style, the scripts and uPlot. Without scripts, everything works except live updates,
charts and the zone editor.
"""
