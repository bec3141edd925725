#!lua flags=allow-oom
-- Notes a task queue that is about to be declared for the first time; answers whether that is news.
-- Again with the same arguments: it is there already, and no news.
-- KEYS: 1 queues. ARGV: 1 queue.
return redis.call('SADD', KEYS[1], ARGV[1])
