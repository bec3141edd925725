#!lua flags=allow-oom
-- Takes a lease that is free, has run out, or may be taken early.
-- Again with the same arguments: the token of that nonce is the lease's already, its time begins anew.
-- KEYS: 1 lease.
-- ARGV: 1 worker, 2 nonce, 3 for how many microseconds, 4 token of the holder from whom it may be taken early if
--       that one consumes ('' = from nobody).
-- Answers: granted, acquisition, 1 if the owner before did not give it back, epoch and run marked as rebuilt
--        | held, owner, microseconds left.
-- Lua has no rollback: who may run only some of what a commit runs must not own anything.
for _, command in ipairs({{'XADD', KEYS[1], '1-1', 'e', ''}, {'HSET', KEYS[1], 'f', ''}, {'HDEL', KEYS[1], 'f'},
    {'ZADD', KEYS[1], '1', 'm'}, {'ZREM', KEYS[1], 'm'}, {'UNLINK', KEYS[1]}, {'TIME'}}) do
  if not redis.acl_check_cmd(unpack(command)) then
    return redis.error_reply('NOPERM this user may not run ' .. command[1] .. ', which a commit needs')
  end
end
local lease = redis.call('HMGET', KEYS[1], 'tk', 'ow', 'xp', 'n', 'ax', 'rb', 'co', 'rr')
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local left = (tonumber(lease[3] or '') or 0) - now
local taken = tonumber(lease[4] or '') or 0
local own = lease[1] == string.format('%d', taken) .. ':' .. ARGV[2]
local early = lease[1] == ARGV[4] and lease[7] == '1'
if lease[1] and not own and not early and left > 0 then
  return {'held', lease[2] or '', string.format('%d', left)}
end
local expired = lease[5] or '0'
if not own then
  taken = taken + 1
  expired = lease[1] and '1' or '0'
end
local acquisition = string.format('%d', taken)
redis.call('HSET', KEYS[1], 'tk', acquisition .. ':' .. ARGV[2], 'ow', ARGV[1],
  'xp', string.format('%d', now + ARGV[3]), 'n', acquisition, 'ax', expired)
if not own then redis.call('HSET', KEYS[1], 'co', '0') end
return {'granted', acquisition, expired, lease[6] or '0', lease[8] or ''}
