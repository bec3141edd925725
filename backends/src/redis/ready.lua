#!lua flags=no-writes,allow-oom
-- Instances that are to be looked at and have been for a while, the longest waiting first.
-- KEYS: 1 ready. ARGV: 1 for how many microseconds at least, 2 how many at most. Answers: their ids.
local t = redis.call('TIME')
local until_then = t[1] * 1000000 + t[2] - ARGV[1]
return redis.call('ZRANGE', KEYS[1], '-inf', until_then, 'BYSCORE', 'LIMIT', 0, ARGV[2])
