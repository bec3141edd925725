#!lua flags=no-writes,allow-oom
-- Timers that are due by the server's own clock, and when the next one behind them is.
-- KEYS: 1 timers. ARGV: 1 how many at most. Answers: now, {{member, due}, ..}, due of the next or nil.
local t = redis.call('TIME')
local now = t[1] .. string.format('%06d', t[2])
local found = redis.call('ZRANGE', KEYS[1], '-inf', now, 'BYSCORE', 'LIMIT', 0, ARGV[1], 'WITHSCORES')
local due = {}
for at = 1, #found, 2 do
  due[#due + 1] = {found[at], found[at + 1]}
end
local next = redis.call('ZRANGE', KEYS[1], #due, #due, 'WITHSCORES')
return {now, due, next[2] or false}
