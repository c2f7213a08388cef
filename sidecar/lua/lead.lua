-- Becomes or stays the leader of an upstream, or gives the lead back.
-- KEYS: leader, fence
-- ARGV: node, what this node held ("token:node", or ""), ms (0: give back)
-- Gives {"1" if held, who leads, for how many ms more}.

local leader, fence = unpack(KEYS)
local node, mine, px = unpack(ARGV)

local present = redis.call('GET', leader)

if px == '0' then
    if present and present == mine then
        redis.call('DEL', leader)
    end
    return {'0', '', 0}
end

if present then
    if present ~= mine then
        return {'0', present, redis.call('PTTL', leader)}
    end
    redis.call('PEXPIRE', leader, px)
    return {'1', present, tonumber(px)}
end

-- A lead that ran out is a new one: whoever slept must not go on with it.
present = redis.call('INCR', fence) .. ':' .. node
redis.call('SET', leader, present, 'PX', px)

return {'1', present, tonumber(px)}
