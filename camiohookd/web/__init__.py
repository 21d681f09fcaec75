"""The listeners: `hook` for Camio, `admin` for the owner, `control` for the queue commands."""
