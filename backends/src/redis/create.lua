#!lua
-- Accepts a start: writes the Pending row and puts it into the ready set, the open set and the indexes.
-- Again with the same arguments: finds its own start id and answers where the instance stands.
-- KEYS: 1 row, 2 ready, 3 open, 4 index of all, 5 index of Pending, 6 memory of this start id.
-- ARGV: 1 instance id, 2 start id, 3 is 1 when the server takes no new work, then the row's fields but its times.
-- Answers: new | repeated, status | taken, start id, status | full.
local found = redis.call('HMGET', KEYS[1], 'si', 'st')
if found[1] and found[2] then
  if found[1] ~= ARGV[2] then return {'taken', found[1], found[2]} end
  redis.call('HSET', KEYS[1], 'si', ARGV[2]) -- see commit.lua on writing the same again
  return {'repeated', found[2]}
end
if redis.call('EXISTS', KEYS[1]) == 1 then
  return redis.error_reply('LHKEY ' .. KEYS[1] .. ' holds no start id and no status')
end
local remembered = redis.call('HGET', KEYS[6], ARGV[1])
if remembered then return {'repeated', remembered} end
if ARGV[3] == '1' then return {'full'} end
for at = 2, 5 do
  local kind = redis.call('TYPE', KEYS[at]).ok
  if kind ~= 'zset' and kind ~= 'none' then
    return redis.error_reply('LHKEY ' .. KEYS[at] .. ' is a ' .. kind .. ' where a zset belongs')
  end
end
local t = redis.call('TIME')
local now = t[1] .. string.format('%06d', t[2])
-- The row comes last: should a write be refused after all, the start has not been accepted.
for at = 2, 5 do
  redis.call('ZADD', KEYS[at], now, ARGV[1])
end
redis.call('HSET', KEYS[1], 'cr', now, 'ch', now, unpack(ARGV, 4))
return {'new'}
