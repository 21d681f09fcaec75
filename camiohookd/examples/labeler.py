# Labels each picture "day" or "night" by how bright it is.
from PIL import ImageStat


def compute_labels(images):
    labels = {}
    for image in images:
        light = ImageStat.Stat(image["image"].convert("L")).mean[0] / 255
        labels[image["timestamp"]] = {"day" if light > 0.25 else "night": {"probability": 1.0, "polygon": []}}
    return labels
