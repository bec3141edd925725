#!lua
-- Puts a message into an instance's inbox and the instance into the ready set.
-- Again with the same arguments: the message is there, nothing changes.
-- KEYS: 1 row, 2 inbox, 3 ready. ARGV: 1 instance id, 2 message id, 3 message, 4 most messages of an inbox.
-- Answers: accepted | ended, status | unknown | full.
local status = redis.call('HGET', KEYS[1], 'st')
if not status then return {'unknown'} end
if status ~= '0' and status ~= '6' then return {'ended', status} end
local kept = redis.call('HGET', KEYS[2], ARGV[2])
if kept then
  redis.call('HSET', KEYS[2], ARGV[2], kept) -- see commit.lua on writing the same again
  return {'accepted'}
end
if redis.call('HLEN', KEYS[2]) >= tonumber(ARGV[4]) then return {'full'} end
local kind = redis.call('TYPE', KEYS[3]).ok
if kind ~= 'zset' and kind ~= 'none' then
  return redis.error_reply('LHKEY ' .. KEYS[3] .. ' is a ' .. kind .. ' where a zset belongs')
end
local t = redis.call('TIME')
redis.call('ZADD', KEYS[3], 'LT', t[1] .. string.format('%06d', t[2]), ARGV[1])
redis.call('HSET', KEYS[2], ARGV[2], ARGV[3])
return {'accepted'}
