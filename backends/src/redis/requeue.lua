#!lua flags=allow-oom
-- Forgets the attempts at an instance and puts it into the ready set.
-- Again with the same arguments: nothing is counted and the instance is looked at once more.
-- KEYS: 1 row, 2 ready. ARGV: 1 instance id. Answers: accepted | ended, status | unknown.
local status = redis.call('HGET', KEYS[1], 'st')
if not status then return {'unknown'} end
if status ~= '0' and status ~= '6' then return {'ended', status} end
local kind = redis.call('TYPE', KEYS[2]).ok
if kind ~= 'zset' and kind ~= 'none' then
  return redis.error_reply('LHKEY ' .. KEYS[2] .. ' is a ' .. kind .. ' where a zset belongs')
end
local t = redis.call('TIME')
redis.call('ZADD', KEYS[2], 'LT', t[1] .. string.format('%06d', t[2]), ARGV[1])
redis.call('HDEL', KEYS[1], 'at', 'ak')
redis.call('HSET', KEYS[1], 'st', status) -- see commit.lua on writing the same again
return {'accepted'}
