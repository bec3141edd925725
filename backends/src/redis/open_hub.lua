#!lua
-- Makes the hub with these settings where there is none; answers with the settings it has.
-- Again with the same arguments: the hub exists, nothing changes.
-- KEYS: 1 meta. ARGV: 1 partitions, 2 schema version, 3 queue type, 4 durability, 5 the run of this server.
local partitions = redis.call('HGET', KEYS[1], 'p')
if partitions then
  redis.call('HSET', KEYS[1], 'p', partitions) -- see commit.lua on writing the same again
elseif redis.call('EXISTS', KEYS[1]) == 0 then
  local t = redis.call('TIME')
  redis.call('HSET', KEYS[1], 'p', ARGV[1], 'sv', ARGV[2], 'qt', ARGV[3], 'du', ARGV[4],
    'ep', '0', 'rn', ARGV[5], 'cr', t[1] .. string.format('%06d', t[2]))
end
return redis.call('HMGET', KEYS[1], 'p', 'ep', 'sv', 'qt', 'du', 'rn', 'en')
