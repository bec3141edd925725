#!lua flags=allow-oom
-- Counts an attempt at a piece of work; the count is forgotten some time after the last.
-- Again with the same arguments: the attempt is counted already.
-- KEYS: 1 attempts. ARGV: 1 nonce of the attempt, 2 for how many milliseconds to remember. Answers: how many now.
local before = redis.call('HMGET', KEYS[1], 'n', 'k')
local attempts = tonumber(before[1] or '') or 0
if before[2] ~= ARGV[1] then attempts = attempts + 1 end
redis.call('HSET', KEYS[1], 'n', string.format('%d', attempts), 'k', ARGV[1])
redis.call('PEXPIRE', KEYS[1], ARGV[2])
return attempts
