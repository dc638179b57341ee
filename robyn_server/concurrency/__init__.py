"""Building blocks for asynchronous work: periodic loops, backoff, caches, prefetching. No I/O of their own."""
