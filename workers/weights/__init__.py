"""Weights of one engine replaced in place: a family's checkpoints go in, an engine that answers as another comes out.

In the worker, without torch: `slot`, the client, on `family` and `checkpoint` (what a folder holds, and whether it
fits), `content` (digests of its numbers, and whether all are numbers), `unchanged` (what two have in common) and
`verification` on `fingerprint` (what a forward pass tells).
In the engine's process: `extension`, on `host_store`, `host_copy`, `image` and `cpu_layers`.
"""
