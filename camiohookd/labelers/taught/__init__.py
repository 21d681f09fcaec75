"""Labels that the owner teaches with a few pictures: the state of a zone, or a finer kind of a detected object.

pictures ─▶ `crops`, `variations` ─▶ features (`labelers.onnx.features`) ─▶ `learning` ─▶ `store`: one file a name
                                                        │ `regression`, `calibration`, `unknown`; judged by `report`
files ─▶ `collection` ─▶ `labeler`, which adds the labels to what another labeler found; `steadiness` over events
"""
