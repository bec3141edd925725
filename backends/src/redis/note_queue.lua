#!lua flags=allow-oom
-- Notes a task queue that was declared for the first time; answers whether that is news.
-- Again with the same arguments: it is there already, and no news.
-- KEYS: 1 queues. ARGV: 1 queue.
local known = redis.call('SREM', KEYS[1], ARGV[1]) -- see commit.lua on writing the same again
redis.call('SADD', KEYS[1], ARGV[1])
return 1 - known
