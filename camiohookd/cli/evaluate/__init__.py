"""Measure labelers on the owner's pictures: the command `evaluate`.

`references`  a folder of pictures with COCO's or YOLO's files → what is in each picture
`precision`   what was found and what is there → COCO's average precision, precision and recall
`differences` what two labelers found in one picture → what only one of them found
`report`      the table, the pictures side by side, and the lines for the settings
"""
