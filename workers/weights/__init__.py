"""Weights of one engine replaced in place: a family's checkpoints go in, an engine that answers as another comes out.

In the worker, without torch: `slot`, the client, on `checkpoint` (what a folder holds, and whether it fits), `content`
(the digest of its bytes, and whether all are numbers) and `fingerprint` (what one forward pass tells of weights).
In the engine's process: `extension`, on `host_store`, `host_copy` and `image`. `arguments` start it.
"""
