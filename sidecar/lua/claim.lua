-- The first who asks with a key has it; who comes later is told what is there.
-- KEYS: the key
-- ARGV: what the first one leaves there, for how many ms
-- Gives '' to the first one.

local there = redis.call('GET', KEYS[1])

if there then
    return there
end

redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])

return ''
