#!lua
-- Sets a message aside, unless there are too many.
-- Again with the same arguments: the message is there, nothing changes.
-- KEYS: 1 parked, 2 their bodies. ARGV: 1 id, 2 time, 3 body, 4 most messages. Answers: whether it is kept.
local kept = redis.call('HGET', KEYS[2], ARGV[1])
if kept then
  redis.call('HSET', KEYS[2], ARGV[1], kept) -- see commit.lua on writing the same again
  return 1
end
if redis.call('ZCARD', KEYS[1]) >= tonumber(ARGV[4]) then return 0 end
redis.call('ZADD', KEYS[1], ARGV[2], ARGV[1])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
return 1
