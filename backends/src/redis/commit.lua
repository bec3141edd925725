#!lua flags=allow-oom
-- Applies one turn's commit, all of it or nothing: whatever can go wrong is looked at before the first write.
-- Again with the same arguments: the row's last commit is this one, nothing changes.
--
-- "Writing the same again": under durability `replicated` the caller's WAIT covers only what this connection
-- wrote. A repeated change must therefore write something, or it would count as replicated when it is not.
--
-- KEYS: 1 lease, 2 row, 3 history, 4 inbox, 5 outbox, 6 timers, 7 ready, 8 open,
--       9 index of Pending, 10 index of Running, 11 index of the new status.
-- ARGV: 1 token, 2 commit id, 3 execution, 4 expected commit number, 5 expected event count, 6 instance id,
--       7 new status, 8 channel to tell of the end ('' = not the end), 9 when to look again ('' = settle, '-' = rest),
--       10 time of the change, 11 history entry id ('' = no events), 12 its events,
--       13-20 lengths of the lists that follow: row fields to set, to remove; inbox messages to remove, to add;
--       outbox messages to remove, to add; timers to remove, to add.
-- Answers: applied | duplicate | conflict | fenced.
if redis.call('HGET', KEYS[1], 'tk') ~= ARGV[1] then return 'fenced' end
local row = redis.call('HMGET', KEYS[2], 'lc', 'ex', 'cn', 'sq', 'st', 'cr')
if row[1] == ARGV[2] then
  redis.call('HSET', KEYS[2], 'lc', ARGV[2])
  return 'duplicate'
end
local status = row[5]
if row[2] ~= ARGV[3] or row[3] ~= ARGV[4] or row[4] ~= ARGV[5] or (status ~= '0' and status ~= '6') then
  return 'conflict'
end

local length = {}
for list = 1, 8 do length[list] = tonumber(ARGV[12 + list]) end
local ended = ARGV[8] ~= ''
local moves = status ~= ARGV[7]
local id = ARGV[6]

local wrong
local function expect(at, wanted)
  local kind = redis.call('TYPE', KEYS[at]).ok
  if kind ~= wanted and kind ~= 'none' then
    wrong = redis.error_reply('LHKEY ' .. KEYS[at] .. ' is a ' .. kind .. ' where a ' .. wanted .. ' belongs')
  end
end
-- These two answers are needed anyway, and a foreign key refuses to give them.
local unread = redis.pcall('HLEN', KEYS[4])
local is_ready = redis.pcall('ZSCORE', KEYS[7], id)
if type(unread) == 'table' then wrong = unread; expect(4, 'hash') end
if type(is_ready) == 'table' then wrong = is_ready; expect(7, 'zset') end
expect(8, 'zset')
if length[5] + length[6] > 0 then expect(5, 'hash') end
if length[7] + length[8] > 0 then expect(6, 'zset') end
if moves then
  expect(9, 'zset')
  expect(10, 'zset')
  expect(11, 'zset')
  if not tonumber(row[6] or '') then
    wrong = redis.error_reply('LHKEY ' .. KEYS[2] .. ' does not say when it was created')
  end
end
if wrong then return wrong end

-- The first write is the only one that may still be refused, by the stream itself: nothing has changed then.
if ARGV[11] ~= '' then redis.call('XADD', KEYS[3], ARGV[11], 'e', ARGV[12]) end

local at = 21
local function apply(list, command, key)
  local changed = 0
  local stop = at + length[list] - 1
  while at <= stop do
    local last = math.min(at + 3999, stop) -- Lua unpacks at most about 8,000 at once
    changed = changed + redis.call(command, key, unpack(ARGV, at, last))
    at = last + 1
  end
  return changed
end
apply(1, 'HSET', KEYS[2])
apply(2, 'HDEL', KEYS[2])
if ended then
  at = at + length[3] + length[4]
  if unread > 0 then redis.call('UNLINK', KEYS[4]) end
else
  unread = unread - apply(3, 'HDEL', KEYS[4])
  unread = unread + apply(4, 'HSET', KEYS[4])
end
apply(5, 'HDEL', KEYS[5])
apply(6, 'HSET', KEYS[5])
apply(7, 'ZREM', KEYS[6])
apply(8, 'ZADD', KEYS[6])

if moves then
  redis.call('ZREM', status == '6' and KEYS[9] or KEYS[10], id)
  redis.call('ZADD', KEYS[11], row[6], id)
end
if ended then
  if is_ready then redis.call('ZREM', KEYS[7], id) end
  redis.call('ZREM', KEYS[8], id)
  redis.pcall('PUBLISH', ARGV[8], id) -- a hint: who may not publish still commits
  return 'applied'
end
redis.call('ZADD', KEYS[8], ARGV[10], id)
if ARGV[9] == '-' then
  if is_ready then redis.call('ZREM', KEYS[7], id) end
elseif ARGV[9] ~= '' then
  redis.call('ZADD', KEYS[7], ARGV[9], id)
elseif unread > 0 then
  local t = redis.call('TIME')
  redis.call('ZADD', KEYS[7], 'LT', t[1] .. string.format('%06d', t[2]), id)
elseif is_ready then
  redis.call('ZREM', KEYS[7], id)
end
return 'applied'
