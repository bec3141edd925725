#!lua flags=allow-oom
-- Counts an attempt at an instance, for the owner of its partition only, and one for each token.
-- Again with the same arguments: the token has counted already.
-- KEYS: 1 lease, 2 row. ARGV: 1 token. Answers: counted, how many now | fenced | gone.
if redis.call('HGET', KEYS[1], 'tk') ~= ARGV[1] then return {'fenced'} end
local row = redis.call('HMGET', KEYS[2], 'st', 'at', 'ak')
if row[1] ~= '0' and row[1] ~= '6' then return {'gone'} end
local attempts = tonumber(row[2] or '') or 0
if row[3] ~= ARGV[1] then attempts = attempts + 1 end
redis.call('HSET', KEYS[2], 'at', string.format('%d', attempts), 'ak', ARGV[1])
return {'counted', string.format('%d', attempts)}
