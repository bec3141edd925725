#!lua flags=allow-oom
-- Extends a lease that is still held under this token, also one that has run out and nobody has taken.
-- Again with the same arguments: its time begins anew.
-- KEYS: 1 lease. ARGV: 1 token, 2 for how many microseconds, 3 whether its queue is consumed.
-- Answers: whether it is held.
if redis.call('HGET', KEYS[1], 'tk') ~= ARGV[1] then return 0 end
local t = redis.call('TIME')
local expiry = t[1] * 1000000 + t[2] + ARGV[2]
redis.call('HSET', KEYS[1], 'xp', string.format('%d', expiry), 'co', ARGV[3])
return 1
