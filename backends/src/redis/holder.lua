#!lua flags=no-writes
-- Tells who holds a lease. One that has run out is held until somebody takes it.
-- KEYS: 1 lease. Answers: nil | owner, token, 1 if it consumes, microseconds left.
local lease = redis.call('HMGET', KEYS[1], 'ow', 'tk', 'co', 'xp')
if not lease[2] then return false end
local t = redis.call('TIME')
local left = math.max((tonumber(lease[4] or '') or 0) - (t[1] * 1000000 + t[2]), 0)
return {lease[1] or '', lease[2], tonumber(lease[3] or '') or 0, left}
