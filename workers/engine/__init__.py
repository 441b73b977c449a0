"""vLLM as a process of its own: started, watched, asked, put to sleep, and told which adapters to hold.

`hosted_engine` is what workers use, on `supervisor` (kept alive), `lives` (our own engine, or a server that somebody
else runs) and `server` (one vLLM). In the engine's own process: `extension` and `adapter_slots`.
"""
