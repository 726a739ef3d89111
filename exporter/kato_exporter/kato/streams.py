"""The streams in Redis in which KATO 3 notes what happens to short-term memory.

`stm:global` has the events of all processors, `stm:events:<processor id>` those of one. Nothing
trims them, and they never expire.
"""

GLOBAL_STREAM = b"stm:global"
PROCESSOR_STREAM_MATCH = "stm:events:*"
"""The Redis glob that the stream of every processor matches; other keys can match it too."""
