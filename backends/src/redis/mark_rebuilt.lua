#!lua flags=allow-oom
-- Writes down up to which epoch and in which run of the server everything has been sent again, for the owner only.
-- The epoch never goes back.
-- Again with the same arguments: both stand there already.
-- KEYS: 1 lease. ARGV: 1 token, 2 epoch, 3 run. Answers: whether the token is right.
local lease = redis.call('HMGET', KEYS[1], 'tk', 'rb')
if lease[1] ~= ARGV[1] then return 0 end
local rebuilt = lease[2] or '0'
if tonumber(ARGV[2]) > tonumber(rebuilt) then rebuilt = ARGV[2] end
redis.call('HSET', KEYS[1], 'rb', rebuilt, 'rr', ARGV[3])
return 1
