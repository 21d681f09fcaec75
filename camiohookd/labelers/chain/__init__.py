"""Several labelers for an event, asked in the order of the settings.

`chain`     which labelers an event's camera has, in two groups: by picture, and for the event as a whole
`link`      one labeler, and whether it works
`steps`     ask a link about some frames, and add its findings to those of earlier ones
`crops`     the parts of the pictures with certain objects, for a link with `on`
`together`  the findings of two labelers → one list
"""
