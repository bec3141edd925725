#!lua flags=allow-oom
-- Raises the broker epoch if it is the one seen; answers with the epoch afterwards, nil without a hub.
-- Again with the same arguments: the epoch is no longer the one seen, nothing changes.
-- KEYS: 1 meta. ARGV: 1 the epoch seen, 2 the next one.
local epoch = redis.call('HGET', KEYS[1], 'ep')
if epoch == ARGV[1] then
  redis.call('HSET', KEYS[1], 'ep', ARGV[2])
  return ARGV[2]
end
if epoch == ARGV[2] then
  redis.call('HSET', KEYS[1], 'ep', epoch) -- see commit.lua on writing the same again
end
return epoch
