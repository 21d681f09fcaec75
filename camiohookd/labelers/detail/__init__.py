"""Look at pictures in overlapping tiles, too, so that the model sees far-away objects in more of their pixels.

`tiling`   a picture's size → the tiles of a grid
`regions`  the pictures of an event → where they differ
`plan`     which parts of a picture are looked at, the most valuable first
`merging`  what was found in all tiles → each object once
`labeler`  a labeler that does all of this around another one
"""
