#!lua flags=allow-oom
-- Puts a worker on the list of the living, or takes it off, and takes off those whose time is over.
-- Again with the same arguments: its time begins anew.
-- KEYS: 1 workers, 2 what they host. ARGV: 1 worker, 2 for how many microseconds (0 = off), 3 what it hosts.
-- Answers: the living, and what each hosts.
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local over = redis.call('ZRANGE', KEYS[1], '-inf', string.format('%d', now), 'BYSCORE')
if ARGV[2] == '0' then
  over[#over + 1] = ARGV[1]
end
for _, worker in ipairs(over) do
  redis.call('ZREM', KEYS[1], worker)
  redis.call('HDEL', KEYS[2], worker)
end
if ARGV[2] ~= '0' then
  redis.call('ZADD', KEYS[1], string.format('%d', now + ARGV[2]), ARGV[1])
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[3])
end
local living = redis.call('ZRANGE', KEYS[1], 0, -1)
local hosts = {}
for at = 1, #living do
  hosts[at] = redis.call('HGET', KEYS[2], living[at])
end
return {living, hosts}
