"""Weights of one engine replaced in place: a family's checkpoints go in, an engine that answers as another comes out.

    checkpoint   what a folder holds, and whether it fits the engine          no torch, in the worker
    content      the digest of its bytes, and whether all are numbers         no torch, in the worker
    fingerprint  what one forward pass says of the weights that are resident  no torch, in the worker
    slot         the client: checks, fetches, replaces, verifies              no torch, in the worker
    extension    the engine's side, with `host_copy` and `image`              torch, in the engine's process
"""
