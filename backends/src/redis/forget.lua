#!lua flags=allow-oom
-- Removes members from a key of a partition, for its owner only.
-- Again with the same arguments: they are gone, nothing changes.
-- KEYS: 1 lease, 2 the key. ARGV: 1 token, 2 HDEL or ZREM, then the members. Answers: whether the token is right.
if redis.call('HGET', KEYS[1], 'tk') ~= ARGV[1] then return 0 end
for at = 3, #ARGV, 4000 do
  redis.call(ARGV[2], KEYS[2], unpack(ARGV, at, math.min(at + 3999, #ARGV)))
end
return 1
