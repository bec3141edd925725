#!lua flags=allow-oom
-- Writes down up to which epoch everything has been sent again, for the owner only. It never goes back.
-- Again with the same arguments: the epoch stands there already.
-- KEYS: 1 lease. ARGV: 1 token, 2 epoch. Answers: whether the token is right.
local lease = redis.call('HMGET', KEYS[1], 'tk', 'rb')
if lease[1] ~= ARGV[1] then return 0 end
local rebuilt = lease[2] or '0'
if tonumber(ARGV[2]) > tonumber(rebuilt) then rebuilt = ARGV[2] end
redis.call('HSET', KEYS[1], 'rb', rebuilt)
return 1
