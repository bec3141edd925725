#!lua flags=allow-oom
-- Sets the broker epoch if it is the one seen; answers with the epoch afterwards, nil without a hub.
-- Again with the same arguments: it is the next one already, nothing changes.
-- KEYS: 1 meta. ARGV: 1, 2 number and nonce of the epoch seen, 3, 4 of the next one.
local epoch = redis.call('HMGET', KEYS[1], 'ep', 'en')
if not epoch[1] then return {false, false} end
local nonce = epoch[2] or '0000000000000000'
if epoch[1] == ARGV[1] and nonce == ARGV[2] then
  redis.call('HSET', KEYS[1], 'ep', ARGV[3], 'en', ARGV[4])
  return {ARGV[3], ARGV[4]}
end
if epoch[1] == ARGV[3] and nonce == ARGV[4] then
  redis.call('HSET', KEYS[1], 'ep', epoch[1], 'en', nonce) -- see commit.lua on writing the same again
end
return {epoch[1], nonce}
