"""IR made runnable: the host's processor, compilation, the cache of objects, threads, memory."""
