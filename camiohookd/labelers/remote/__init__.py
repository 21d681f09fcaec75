"""Labels from inference servers that speak the Open Inference Protocol (KServe v2) over HTTP.

open       settings ─▶ a labeler: remote alone, or `sharing` the work with a labeler on this machine
runner     a `Runner` on servers, under the same decoders and rules as a model on this machine
own_code   pictures' files ─▶ the labels of an owner's `compute_labels` that a server runs
balancing  which server is asked: the least busy one that works ─▶ `server`: contract, then requests
breaker    lets a server that fails rest
endpoint   one HTTP request within its time, on `outgoing`
contract   does the model on the server fit `model.toml`?
protocol   tensors ─▶ a request, an answer ─▶ tensors, whose values `tensors` reads and writes; pure
"""
