#!lua flags=allow-oom
-- Gives a lease back if it is still held under this token; how often it was taken, and the epoch, stay.
-- Again with the same arguments: the token is gone, nothing changes.
-- KEYS: 1 lease. ARGV: 1 token. Answers: nil.
if redis.call('HGET', KEYS[1], 'tk') == ARGV[1] then
  redis.call('HDEL', KEYS[1], 'tk', 'ow', 'xp', 'co', 'ax')
end
return false
